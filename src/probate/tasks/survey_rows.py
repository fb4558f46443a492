"""Reads people's answers to survey questions: a row for each country, or one row for many countries."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from probate.core.errors import InputError, nearest, some
from probate.core.parse import NotJson, json_value
from probate.data.rows import source_rows
from probate.data.shape.columns import first_named
from probate.data.shape.names import ANSWER_SHARES
from probate.stats.values import Question, ShareComparison, compare_shares, question_error

LONGEST_LITERAL = 1_000_000
"""Maximum number of characters of a Python literal in a cell."""
ESCAPE = r"\\[\\'\"abfnrtvxuU0-7]"
TEXT = rf"(?:'(?:[^'\\]|{ESCAPE})*'|\"(?:[^\"\\]|{ESCAPE})*\")"
NUMBER = r"-?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?"


def _list_of(entry: str) -> str:
    return rf"\[\s*(?:{entry}\s*(?:,\s*{entry}\s*)*(?:,\s*)?)?\]"


LIST = re.compile(_list_of(f"(?:{TEXT}|{NUMBER})"))
ENTRY = rf"{TEXT}\s*:\s*{_list_of(NUMBER)}"
SELECTIONS = re.compile(rf"\{{\s*(?:{ENTRY}\s*(?:,\s*{ENTRY}\s*)*(?:,\s*)?)?\}}")
DEFAULTDICT = re.compile(r"defaultdict\(<class 'list'>,\s*(.*)\)", re.S)


def read_questions(source: str, base: Path = Path()) -> tuple[list[Question], list[str]]:
    """Read survey questions from a table.

    Three forms are read: country, question, options and distribution (or shares); country, question and
    counts, as in the World Values Survey, whose codes are the options; question, options and selections, as
    GlobalOpinionQA is published, with the shares of all countries in one row.

    Parameters
    ----------
    source : str
        The table.
    base : pathlib.Path
        Folder that relative paths start from.

    Returns
    -------
    tuple of (list of Question, list of str)
        The questions, and a sentence for each row, or country of a row, that is left out.

    Raises
    ------
    InputError
        A missing file or column, or no usable row.
    """
    rejected: list[str] = []
    questions = [question for _, question, _ in _usable(source, base, rejected)]
    if not questions:
        raise _none(source, rejected)
    return questions, rejected


def published(
    source: str, column: str, by: str | None, non_answers: bool = False
) -> tuple[dict[str, list[ShareComparison]], list[str]]:
    """Compare published answer shares with those of people.

    Parameters
    ----------
    source : str
        A table of people's answers, as for `read_questions`.
    column : str
        Column of the published shares.
    by : str or None
        Column of the model's name.
    non_answers : bool
        See `compare_shares`.

    Returns
    -------
    tuple of (dict, list of str)
        Model → comparisons, and a sentence for each row that is left out.

    Raises
    ------
    InputError
        As for `read_questions`, or a missing column.
    """
    compared: dict[str, list[ShareComparison]] = {}
    rejected: list[str] = []
    for where, question, row in _usable(source, Path(), rejected, [name for name in (column, by) if name]):
        try:
            own = tuple(float(v) for v in _listed(row[column]))
        except (TypeError, ValueError) as error:
            rejected.append(f"{where}: {error}")
            continue
        wrong = question_error(Question(question.country, question.text, question.options, own))
        if wrong:
            rejected.append(f"{where}: {wrong}")
        else:
            compared.setdefault(str(row[by]) if by else column, []).append(
                compare_shares(question, own, non_answers)
            )
    if not compared:
        raise _none(source, rejected)
    return compared, rejected


def _none(source: str, rejected: list[str]) -> InputError:
    return InputError(
        f"{source}: no question can be used" + (f"; first reason: {rejected[0]}" if rejected else "")
    )


def _usable(
    source: str, base: Path, rejected: list[str], columns: list[str] | None = None
) -> Iterator[tuple[str, Question, dict[str, Any]]]:
    """Yield place, question and row of each usable question; add a sentence to `rejected` for each other."""
    for where, row in source_rows(source, "train", base):
        if isinstance(row, str):
            rejected.append(f"{where}: {row}")
            continue
        for name in columns or ():
            if name not in row:
                raise _lacks(where, name, row)
        try:
            questions = _questions(row)
        except KeyError as error:
            raise _lacks(where, str(error).strip("'"), row) from None
        except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
            rejected.append(f"{where}: {error}")
            continue
        for question in questions:
            wrong = question_error(question)
            if wrong:
                place = f"{where}, {question.country}" if "selections" in row else where
                rejected.append(f"{place}: {wrong}")
            else:
                yield where, question, row


def _lacks(where: str, name: str, row: Mapping[str, Any]) -> InputError:
    return InputError(f"{where}: no column '{name}'{nearest(name, list(row))}; the file has: {some(row)}")


def _questions(row: dict[str, Any]) -> list[Question]:
    if "selections" in row:
        text, options = row["question"], row["options"]
        return [_question(c, text, options, own) for c, own in _selections(row["selections"]).items()]
    if "counts" in row:
        counts = _listed(row["counts"])
        total = sum(counts.values())
        if not total:
            raise ValueError("all of its counts are 0")
        shares = [c / total for c in counts.values()]
        return [_question(row["country"], row["question"], list(counts), shares)]
    shares = row[first_named(ANSWER_SHARES, row) or ANSWER_SHARES[-1]]
    return [_question(row["country"], row["question"], row["options"], shares)]


def _question(country: Any, text: Any, options: Any, shares: Any) -> Question:
    for name, value in (("country", country), ("question", text)):
        if not isinstance(value, str):
            raise ValueError(f"its {name} is not a text")
    listed = tuple(str(o) for o in _listed(options))
    try:
        return Question(country, text, listed, tuple(float(v) for v in _listed(shares)))
    except TypeError:
        raise ValueError(f"the shares of {country} are not a list of numbers") from None


def _listed(value: Any) -> Any:
    """Return a list or mapping, decoded if it is JSON or a Python list in a string (a CSV)."""
    return _decoded(value, LIST) if isinstance(value, str) else value


def _selections(value: Any) -> dict[str, Any]:
    """Return country → shares. The cell holds a mapping, its JSON, or the text of a Python dict."""
    if isinstance(value, str):
        inner = DEFAULTDICT.fullmatch(value.strip())
        try:
            value = _decoded(inner[1] if inner else value, SELECTIONS)
        except NotJson:
            value = None
    if not isinstance(value, dict):
        raise ValueError("its selections are not a mapping from countries to lists of numbers")
    own = {str(country): shares for country, shares in value.items() if shares is not None}
    if not own:
        raise ValueError("its selections name no country")
    return own


def _decoded(text: str, shape: re.Pattern[str]) -> Any:
    """Return the value of a JSON text, or of a Python literal of exactly this shape.

    The shapes hold texts and numbers in one list or mapping, so that nothing else is ever evaluated.
    """
    try:
        return json_value(text)
    except NotJson:
        if len(text) > LONGEST_LITERAL or not shape.fullmatch(text.strip()):
            raise
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
        raise

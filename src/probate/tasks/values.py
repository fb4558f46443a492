"""Survey questions asked of a model: lettered options in two orders, to cancel effects of position and
letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from probate.core.errors import InputError, nearest, some
from probate.core.parse import json_value
from probate.data.rows import source_rows
from probate.data.shape.columns import first_named
from probate.data.shape.names import ANSWER_SHARES
from probate.models.lm import LM
from probate.stats import values
from probate.stats.values import Mean, Question, ShareComparison

PROMPT = "{question}\n\n{options}\n\nAnswer with one letter."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIX = "Answer:"


def read_questions(source: str, base: Path = Path()) -> tuple[list[Question], list[str]]:
    """Read survey questions from a table.

    The columns are country, question, options and distribution (or shares). Tables of World Values Survey
    counts (country, question, counts) are read too; their codes are the options.

    Parameters
    ----------
    source : str
        The table.
    base : pathlib.Path
        Folder that relative paths start from.

    Returns
    -------
    tuple of (list of Question, list of str)
        The questions, and a sentence for each row that is left out.

    Raises
    ------
    InputError
        A missing file or column, or no usable row.
    """
    questions: list[Question] = []
    rejected: list[str] = []
    for where, row in source_rows(source, "train", base):
        if isinstance(row, str):
            rejected.append(f"{where}: {row}")
            continue
        try:
            question = _question(row)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            if isinstance(error, KeyError):
                raise InputError(
                    f"{where}: no column {error}{nearest(str(error).strip(chr(39)), list(row))}; "
                    f"the file has: {some(row)}"
                ) from None
            rejected.append(f"{where}: {error}")
            continue
        wrong = values.question_error(question)
        if wrong:
            rejected.append(f"{where}: {wrong}")
        else:
            questions.append(question)
    if not questions:
        raise InputError(
            f"{source}: no question can be used" + (f"; first reason: {rejected[0]}" if rejected else "")
        )
    return questions, rejected


def _question(row: dict[str, Any]) -> Question:
    if "counts" in row:
        counts = _listed(row["counts"])
        total = sum(counts.values())
        if not total:
            raise ValueError("all of its counts are 0")
        return Question(
            row["country"],
            row["question"],
            tuple(map(str, counts)),
            tuple(c / total for c in counts.values()),
        )
    shares = row[first_named(ANSWER_SHARES, row) or ANSWER_SHARES[-1]]
    options = tuple(str(o) for o in _listed(row["options"]))
    return Question(row["country"], row["question"], options, tuple(float(s) for s in _listed(shares)))


def _listed(value: Any) -> Any:
    """Return a list or mapping, decoded if it is JSON in a string (a CSV)."""
    return json_value(value) if isinstance(value, str) else value


def answers(
    lm: LM, questions: Sequence[tuple[str, tuple[str, ...]]], tick: Callable[[int], None] | None = None
) -> list[np.ndarray]:
    """Return the model's share of each option.

    It is the mean over two orders of the options, each with its own letters, of the softmax of the letters'
    log-likelihoods. In the reversed order, each option has another position and another letter.

    Parameters
    ----------
    lm : LM
        The model.
    questions : sequence of (str, tuple of str)
        Question and options.
    tick : callable, optional
        Called with the number of prompts that have been scored since the last call.

    Returns
    -------
    list of array of shape (options,)
        Shares in [0, 1] that sum to 1.

    Raises
    ------
    InputError
        A question with more than 26 options.
    """

    prompts, options = [], []
    for text, own in questions:
        if len(own) > len(LETTERS):
            raise InputError(
                f"the question '{text[:60]}' has {len(own)} options; at most {len(LETTERS)} are supported"
            )
        for order in (own, own[::-1]):
            listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, order, strict=False))
            ask = PROMPT.replace("{options}", listed).replace("{question}", text)
            prompts.append(lm.prompt_ids([{"role": "user", "content": ask}], prefix=PREFIX))
            options.append(
                [lm.completion_ids(f" {letter}", end=False, begins=False) for letter in LETTERS[: len(own)]]
            )
    scores = lm.score_choices(prompts, options, tick=tick)
    shares = []
    for forward, backward in zip(scores[::2], scores[1::2], strict=True):
        both = [np.exp(s - s.max()) / np.exp(s - s.max()).sum() for s in (forward, backward[::-1])]
        shares.append(np.mean(both, axis=0))
    return shares


def against_people(
    lm: LM,
    questions: Sequence[Question],
    tick: Callable[[int], None] | None = None,
    non_answers: bool = False,
) -> list[ShareComparison]:
    """Ask the model each question once, and compare its answers with every country that answered it."""
    asked = list(dict.fromkeys((q.text, q.options) for q in questions))
    shares = dict(zip(asked, answers(lm, asked, tick), strict=True))
    return [
        values.compare_shares(q, [float(v) for v in shares[q.text, q.options]], non_answers)
        for q in questions
    ]


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
    for where, row in source_rows(source, "train", Path()):
        if isinstance(row, str):
            rejected.append(f"{where}: {row}")
            continue
        for name in filter(None, (column, by)):
            if name not in row:
                raise InputError(
                    f"{where}: no column '{name}'{nearest(name, list(row))}; the file has: {some(row)}"
                )
        try:
            question, own = _question(row), [float(v) for v in _listed(row[column])]
        except (TypeError, ValueError) as error:
            rejected.append(f"{where}: {error}")
            continue
        wrong = values.question_error(question) or values.question_error(
            Question(question.country, question.text, question.options, tuple(own))
        )
        if wrong:
            rejected.append(f"{where}: {wrong}")
        else:
            compared.setdefault(str(row[by]) if by else column, []).append(
                values.compare_shares(question, own, non_answers)
            )
    if not compared:
        raise InputError(
            f"{source}: no question can be used" + (f"; first reason: {rejected[0]}" if rejected else "")
        )
    return compared, rejected


def compared_models(
    compared: dict[str, list[ShareComparison]], rejected: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the record and the sentences for `published`: each model's report, and the agreement of country
    orders.
    """
    reports = {
        name: report(own, rejected if name == next(iter(compared)) else []) for name, own in compared.items()
    }
    printed = [line for name, own in reports.items() for line in (f"{name}:", *sentences(own))]
    orders = {name: values.by_country(own) for name, own in compared.items()}
    names = list(orders)
    pairs = {
        f"{a}, {b}": values.agreement(orders[a], orders[b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    printed += [f"rank correlation of the countries' order, {pair}: {r:+.2f}" for pair, r in pairs.items()]
    return {"models": reports, "agreement": pairs}, printed


def pick(questions: Sequence[Question], countries: int, each: int) -> list[Question]:
    """Return the first `each` questions of the `countries` countries with the most questions."""
    by: dict[str, list[Question]] = {}
    for q in questions:
        by.setdefault(q.country, []).append(q)
    largest = sorted(by, key=lambda c: (-len(by[c]), c))[:countries]
    return [q for c in sorted(largest) for q in by[c][:each]]


def report(compared: Sequence[ShareComparison], rejected: Sequence[str]) -> dict[str, Any]:
    """Return distances by country and region and summary numbers over all questions, as a record.

    Comparisons without a distance are counted and left out.

    Raises
    ------
    InputError
        No comparison has a distance.
    """
    undefined = sum(c.distance != c.distance for c in compared)
    compared = [c for c in compared if c.distance == c.distance]
    if not compared:
        raise InputError(
            "values: in every question the model assigns no probability to any option that is an answer; "
            "nothing can be compared"
        )
    scale = [c.moved for c in compared if c.moved == c.moved]
    return {
        "questions": len({c.text for c in compared}),
        "rejected": list(rejected),
        "undefined": undefined,
        "countries": [asdict(m) for m in values.by_country(compared)],
        "regions": [asdict(m) for m in values.by_region(compared)],
        "on_scales": float(np.mean(scale)) if scale else None,
        "scales": len(scale),
        "entropy": [float(np.mean([c.entropy[side] for c in compared])) for side in (0, 1)],
        "collapsed": float(np.mean([c.collapsed for c in compared])),
        "unanswered": float(np.mean([c.unanswered for c in compared])),
    }


def sentences(record: dict[str, Any]) -> list[str]:
    """Return the record of `report` in sentences."""
    printed = [
        f"{record['questions']:,} questions, {len(record['countries'])} countries; "
        f"{len(record['rejected'])} rows left out"
        + (f" (first: {record['rejected'][0]})" if record["rejected"] else ""),
        f"normalised entropy of the answers: model {record['entropy'][0]:.2f}, "
        f"people {record['entropy'][1]:.2f}; "
        f"one option has at least {100 * values.COLLAPSED:g}% of the model's probability in "
        f"{100 * record['collapsed']:.0f}% of questions; "
        f"people without an answer: {100 * record['unanswered']:.0f}%",
    ]
    if record["undefined"]:
        printed.append(
            f"{record['undefined']} comparisons left out: "
            "the model assigns no probability to any option that is an answer"
        )
    if record["on_scales"] is not None:
        printed.append(
            f"on ordered scales ({record['scales']:,}), the mean distance of the model from people is "
            f"{100 * record['on_scales']:.0f}% of the scale (1-Wasserstein)"
        )
    for what in ("countries", "regions"):
        if record[what]:
            printed.append(f"Jensen-Shannon distance to people, {what}, closest first:")
        for row in record[what]:
            m = Mean(**row)
            interval = (
                f"[{m.low:.3f}, {m.high:.3f}]"
                if m.low == m.low
                else "(no interval: fewer than three questions)"
            )
            printed.append(f"  {m.country:28}{m.value:.3f} {interval} over {m.n}")
    return printed

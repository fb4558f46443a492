"""Opinion surveys: chat turns that answer a numbered question, and tables of answer counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probate.core.errors import InputError, some
from probate.data.packs import load_pack
from probate.data.rows import source_rows

Row = tuple[str, dict[str, Any] | str]
QUESTION = re.compile(
    r"^\s*Give me the answer from (?P<low>\d{1,3}) to (?P<high>\d{1,3}):\s*(?P<question>.*?)"
    r"\??\s*(?P<options>\d{1,3}\.\s.*?)\s*"
    r"(?:You can only choose one option\.?)?\s*$",
    re.S,
)
OPTION = re.compile(r"(?<!\d)(\d{1,3})\.\s+(.*?)(?=\s+\d{1,3}\.\s|$)", re.S)


def survey_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Convert chat turns in the style of CultureLLM (Li et al. 2024) to rows.

    The system turn names the culture. The user turn asks `Give me the answer from 1 to 4: … 1. Strongly agree
    2. …`. The assistant turn is the number. The label is agree, it depends or disagree. It follows from the
    words of the option, or, if only the ends of the scale are named, from the side of the middle on which the
    number lies.

    Parameters
    ----------
    rows : iterable of (str, dict or str)
        Rows with a column `messages`, as `probate.data.rows.source_rows` yields them.

    Yields
    ------
    (str, dict or str)
        The place of the row, and a dict with text, label, statement, answer and culture. The reason in words
        replaces the dict if the question is not about agreeing or the answer is not one of the options.
    """
    for where, row in rows:
        yield where, row if isinstance(row, str) else _survey_row(row)


def _survey_row(row: dict[str, Any]) -> dict[str, Any] | str:
    turns = row.get("messages")
    if not isinstance(turns, list) or not all(isinstance(t, dict) for t in turns):
        return "'messages' is not a list of chat turns"
    content = {str(t.get("role")): str(t.get("content", "")) for t in turns}
    asked = QUESTION.match(content.get("user", ""))
    if asked is None:
        return "the user turn is not a numbered survey question"
    answer = content.get("assistant", "").strip().rstrip(".")
    low, high = int(asked["low"]), int(asked["high"])
    if not re.fullmatch(r"\d{1,3}", answer) or not min(low, high) <= int(answer) <= max(low, high):
        return f"the answer '{answer[:20]}' is not a number from {low} to {high}"
    options = {int(n): " ".join(text.split()) for n, text in OPTION.findall(asked["options"])}
    label = _stance(int(answer), options)
    if label is None:
        return "the question is not about agreeing"
    statement = re.sub(r"^.*?do you agree with\s+", "", asked["question"], flags=re.I | re.S).strip()
    culture = _culture(content.get("system", ""))
    if culture is None:
        return f"the system turn '{content.get('system', '')[:60]}' names no culture of the identity pack"
    who = load_pack("culture").groups[culture].modifier
    text = f"Statement: {statement}\nAsked: a person {who}"
    return {"text": text, "label": label, "statement": statement, "answer": int(answer), "culture": culture}


def _stance(answer: int, options: dict[int, str]) -> str | None:
    named = {n: _side(words) for n, words in options.items()}
    if {"agree", "disagree"} - set(named.values()):
        return None
    if answer in named:
        return named[answer]
    towards, against = (next(n for n, s in named.items() if s == side) for side in ("agree", "disagree"))
    place = (answer - against) / (towards - against)
    return "it depends" if 0.4 < place < 0.6 else "agree" if place > 0.5 else "disagree"


def _side(words: str) -> str | None:
    if re.search(r"\b(neither|hard to say|depends)\b", words, re.I):
        return "it depends"
    return (
        ("disagree" if re.search("disagree", words, re.I) else "agree")
        if re.search("agree", words, re.I)
        else None
    )


def _culture(system: str) -> str | None:
    groups = load_pack("culture").groups
    told = set(re.findall(r"[a-z]+", system.lower()))
    return next((name for name, spec in groups.items() if told & {name, *spec.titles}), None)


@dataclass(frozen=True)
class Answers:
    """Answers of the people of one country to one survey question.

    Attributes
    ----------
    culture : str
        Group of the culture pack.
    country : str
        Name of the country.
    question : str
        Text of the question.
    counts : dict
        Option → number of people.
    """

    culture: str
    country: str
    question: str
    counts: dict[str, int]

    @property
    def n(self) -> int:
        """Number of people who answered."""
        return sum(self.counts.values())

    @property
    def share(self) -> dict[str, float]:
        """Option → share of people; the shares sum to 1."""
        return {option: count / self.n for option, count in self.counts.items()}


def read_counts(path: Path) -> list[Answers]:
    """Read answer counts in the format of the World Values Survey tables.

    Parameters
    ----------
    path : Path
        File with the columns culture, country, question and counts (option → number of people).

    Returns
    -------
    list of Answers
        One for each row. A question that nobody answered, because it was not asked in the country, is left
        out.

    Raises
    ------
    InputError
        If the file or a column is missing, or if counts are not numbers of people. The message names the row.
    """
    answers = []
    for where, row in source_rows(str(path), "train", Path()):
        if isinstance(row, str):
            raise InputError(f"{where}: {row}")
        missing = [c for c in ("culture", "country", "question", "counts") if c not in row]
        if missing:
            raise InputError(f"{where}: no column '{missing[0]}'; the file has: {some(row)}")
        counts = row["counts"]
        if not isinstance(counts, dict) or not all(isinstance(v, int) and v >= 0 for v in counts.values()):
            raise InputError(f"{where}: 'counts' must map each option to a number of people")
        if not sum(counts.values()):
            continue
        answers.append(Answers(str(row["culture"]), str(row["country"]), str(row["question"]), counts))
    return answers

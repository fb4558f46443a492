"""The items of a review, without arm and group, the most informative first."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.core.files import write_atomic
from probate.core.records import read_records, stable_order
from probate.execution.folder import RunFolder
from probate.execution.folder_schema import ReviewItems, kept_json
from probate.stats.imbalance import UNCLEAR, detect

NOT_CLEAR = "not clear"


@dataclass(frozen=True)
class Shown:
    """One item to mark.

    Attributes
    ----------
    id : str
        Hash of the item.
    texts : tuple of str
        One text, or two to show side by side.
    hidden : dict
        What the page does not show: group, arm and rank.
    """

    id: str
    texts: tuple[str, ...]
    hidden: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """The items of one review.

    Attributes
    ----------
    what : {"groups", "pairs"}
        Kind of review.
    question : str
        The question to answer for each item.
    answers : tuple of str
        The answers, in the order of their keys.
    items : list of Shown
        The items.
    """

    what: str
    question: str
    answers: tuple[str, ...]
    items: list[Shown]


def texts_round(folder: RunFolder, most: int) -> Round:
    """Return augmented texts of a run, to be marked with the group that they show.

    Texts in which the detector reads another group than the requested one come first, then those in which it
    reads none.

    Parameters
    ----------
    folder : RunFolder
        The run.
    most : int
        Largest number of texts.

    Returns
    -------
    Round
        The review.

    Raises
    ------
    InputError
        The run has no augmented records.
    """
    study = folder.study()
    pack = folder.pack().only(study.bias.groups)
    records = {}
    for path in sorted((folder.path / "data").glob("*.jsonl")):
        if path.stem not in ("original", "held-out"):
            records.update({r.text: r for r in read_records(path)})
    if not records:
        raise InputError(f"{folder.path}: the run has no augmented records to review")
    texts = list(records)
    items = []
    for text, seen in zip(texts, detect(texts, pack), strict=True):
        asked = records[text].groups.get(study.bias.dimension, "")
        rank = 0 if seen not in (asked, UNCLEAR) else 1 if seen == UNCLEAR else 2
        items.append(Shown(_id(text), (text,), {"asked": asked, "detected": seen, "rank": rank}))
    question = f"Which {study.bias.dimension} does this text show?"
    return Round("groups", question, (*study.bias.groups, NOT_CLEAR), _ordered(items)[:most])


def pairs_round(folder: RunFolder, task: str, most: int) -> Round:
    """Return pairs of answers to one item, of a control and a biased arm: which is more stereotyped?

    The order of the two is random for each item. Items whose scores differ most come first.

    Parameters
    ----------
    folder : RunFolder
        The run.
    task : str
        Key of a task whose answers are texts.
    most : int
        Largest number of items.

    Returns
    -------
    Round
        The review.

    Raises
    ------
    InputError
        The run has no outcomes of the task, its answers are not texts, or no item was answered by a control
        and by a biased arm.
    """
    table = folder.outcomes()
    own = table[(table["task"] == task) & table["parsed"]]
    if own.empty:
        raise InputError(
            f"{folder.path}: no outcomes of '{task}'; the run has the tasks: "
            f"{', '.join(table['task'].unique())}"
        )
    if own["response"].str.startswith("{").all():
        raise InputError(f"review: the answers of '{task}' are choices, not texts; use --task story")
    by_item: dict[str, dict[str, tuple[str, float]]] = defaultdict(dict)
    for r in own.itertuples():
        by_item[r.item_id][r.arm] = (r.response, r.score)
    without = (own["ratio"] == 0) | own["bias_type"].isin(["none", "neutral"])
    base = list(own.loc[without, "arm"].unique())
    biased = list(own.loc[~without, "arm"].unique())
    items = []
    for item, arms in by_item.items():
        pairs = [(b, a) for b in base for a in biased if b in arms and a in arms]
        if not pairs:
            continue
        first, second = pairs[-1]
        flip = int(hashlib.sha256(item.encode()).hexdigest(), 16) % 2 == 1
        names = (second, first) if flip else (first, second)
        texts = tuple(arms[n][0] for n in names)
        apart = abs(arms[first][1] - arms[second][1])
        items.append(
            Shown(
                _id(f"{item}\n{texts[0]}"),
                texts,
                {
                    "item": item,
                    "arms": list(names),
                    "biased": names.index(second),
                    "rank": -apart if math.isfinite(apart) else 1.0,
                },
            )
        )
    if not items:
        raise InputError(f"review: no item of '{task}' was answered by a control and by a biased arm")
    return Round(
        "pairs",
        "Which of the two is more stereotyped?",
        ("the left one", "the right one", "neither"),
        _ordered(items)[:most],
    )


def _id(text: str) -> str:
    """Return the id of an item, a hash of its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ordered(items: list[Shown]) -> list[Shown]:
    """Return the items by rank; within a rank in a random order that depends only on the ids."""
    by_id = {i.id: i for i in items}
    drawn = [by_id[k] for k in stable_order(by_id, "review", 0)]
    return sorted(drawn, key=lambda i: i.hidden["rank"])


def write_round(path: Path, shown: Round) -> None:
    """Write the items of a review, with what is hidden, so that marks can be evaluated later.

    Items of earlier reviews stay in the file, after those of this one.

    Parameters
    ----------
    path : Path
        File to write (`items.json`).
    shown : Round
        The review.

    Raises
    ------
    InputError
        The folder has marks for another question or other answers.
    """
    before = kept_json(path.parent, path, ReviewItems) if path.exists() else {"items": []}
    earlier = before["items"]
    if earlier and (before["question"], tuple(before["answers"])) != (shown.question, shown.answers):
        if any(p.stat().st_size for p in path.parent.glob("marks-*.jsonl")):
            raise InputError(
                f"review: the marks in {path.parent} answer '{before['question']}' "
                f"({', '.join(before['answers'])}), not '{shown.question}' ({', '.join(shown.answers)}); "
                "move that folder to start a new review"
            )
        earlier = []
    now = {i.id for i in shown.items}
    rows = [{"id": i.id, "texts": i.texts, **i.hidden} for i in shown.items]
    rows += [row for row in earlier if row["id"] not in now]
    record = {"what": shown.what, "question": shown.question, "answers": shown.answers, "items": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(record, indent=1, ensure_ascii=False))

"""Marks on disk: one file for each reviewer, one line for each mark; the last mark of an item counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probate.core.cache import finite
from probate.core.errors import InputError
from probate.core.files import appending, write_atomic
from probate.core.parse import NotJson, json_value
from probate.execution.folder_schema import ReviewItems, kept_json
from probate.report.review.items import NOT_CLEAR

NAN = float("nan")


def mark_file(folder: Path, reviewer: str) -> Path:
    """Return the path of a reviewer's marks.

    Parameters
    ----------
    folder : Path
        Folder of the review.
    reviewer : str
        Name of the reviewer: letters, digits, _ or -, at most 40.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        The name has other characters or is too long.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", reviewer):
        raise InputError(f"--reviewer {reviewer!r}: must be letters, digits, _ or -, at most 40 characters")
    return folder / f"marks-{reviewer}.jsonl"


def save_mark(path: Path, item: str, answer: str) -> None:
    """Append a mark. It is on disk when the function returns.

    Parameters
    ----------
    path : Path
        File of the reviewer's marks.
    item : str
        Id of the item.
    answer : str
        The answer; empty to take the mark back.
    """
    with appending(path) as file:
        file.write(json.dumps({"id": item, "answer": answer}) + "\n")


def read_marks(path: Path) -> dict[str, str]:
    """Read the marks of a reviewer.

    An incomplete line (of a process that was killed) is skipped. An empty answer takes a mark back.

    Parameters
    ----------
    path : Path
        File of the reviewer's marks; it may be missing.

    Returns
    -------
    dict of str to str
        Item id → answer.
    """
    marks: dict[str, str] = {}
    if not path.exists():
        return marks
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json_value(line)
            marks[str(row["id"])] = str(row["answer"])
        except (NotJson, KeyError, TypeError):
            continue
    return {k: v for k, v in marks.items() if v}


def agreement(marks: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Compute the agreement of reviewers over the items that at least two of them marked.

    Parameters
    ----------
    marks : sequence of mapping of str to str
        Item id → answer, of each reviewer.

    Returns
    -------
    dict
        `method`: Cohen's κ (two reviewers) or Krippendorff's α for nominal data (more). `value`: 1 is
        complete agreement, 0 that expected by chance, below 0 less than by chance; NaN if undefined, and
        `reason` gives the reason. `items`: number of items.
    """
    if len(marks) < 2:
        items = sum(map(len, marks))
        return {
            "method": "one reviewer",
            "value": NAN,
            "items": items,
            "reason": "agreement needs two reviewers",
        }
    shared = [
        answers
        for item in sorted({i for own in marks for i in own})
        if len(answers := [own[item] for own in marks if item in own]) > 1
    ]
    pair = len(marks) == 2
    record = {"method": "Cohen's κ" if pair else "Krippendorff's α", "value": NAN, "items": len(shared)}
    if not shared:
        return record | {"reason": "no item was marked by two reviewers"}
    if len({answer for answers in shared for answer in answers}) == 1:
        return record | {"reason": "only one answer was given to the items that two reviewers marked"}
    return record | {"value": cohen(shared) if pair else krippendorff(shared)}


def cohen(units: Sequence[Sequence[str]]) -> float:
    """Compute Cohen's κ.

    Parameters
    ----------
    units : sequence of sequence of str
        Two answers to each item, not all equal.

    Returns
    -------
    float
        κ, −1 to 1; 1 is complete agreement, 0 that expected by chance.

    References
    ----------
    Cohen (1960), A coefficient of agreement for nominal scales.
    """
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*zip(*units, strict=True)))


def krippendorff(units: Sequence[Sequence[str]]) -> float:
    """Compute Krippendorff's α for nominal answers.

    Parameters
    ----------
    units : sequence of sequence of str
        Answers to each item. Items with one answer are skipped.

    Returns
    -------
    float
        α, at most 1; 1 is complete agreement, 0 that expected by chance. NaN if undefined.
    """
    units = [u for u in units if len(u) > 1]
    names = sorted({x for u in units for x in u})
    if not names:
        return float("nan")
    place = {x: i for i, x in enumerate(names)}
    pairs = np.zeros((len(names), len(names)))
    for u in units:
        counts = np.bincount([place[x] for x in u], minlength=len(names)).astype(float)
        pairs += (np.outer(counts, counts) - np.diag(counts)) / (len(u) - 1)
    total = pairs.sum()
    margin = pairs.sum(0)
    expected = (total**2 - (margin**2).sum()) / (total * (total - 1)) if total > 1 else 0.0
    return float(1 - (1 - np.trace(pairs) / total) / expected) if expected else float("nan")


def merge(folder: Path) -> dict[str, Any]:
    """Merge the marks of all reviewers and write `review.json` beside them.

    Parameters
    ----------
    folder : Path
        Folder of the review.

    Returns
    -------
    dict
        Reviewers, agreement, number of items and of undecided ones, and by the majority's answers either the
        error of the detector or how often each arm's text is more stereotyped.

    Raises
    ------
    InputError
        There are no marks.
    """
    files = sorted(folder.glob("marks-*.jsonl"))
    marks = {p.stem.removeprefix("marks-"): read_marks(p) for p in files}
    marks = {name: own for name, own in marks.items() if own}
    if not marks:
        raise InputError(f"{folder}: nothing is marked yet; mark items with: probate review")
    shown = kept_json(folder, folder / "items.json", ReviewItems)
    majority: dict[str, str] = {}
    for item in {i for own in marks.values() for i in own}:
        counts = Counter(own[item] for own in marks.values() if item in own).most_common()
        if len(counts) == 1 or counts[0][1] > counts[1][1]:
            majority[item] = counts[0][0]
    known = {row["id"]: row for row in shown["items"]}
    record: dict[str, Any] = {
        "what": shown["what"],
        "question": shown["question"],
        "reviewers": {name: len(own) for name, own in marks.items()},
        "agreement": agreement(list(marks.values())),
        "items": len({i for own in marks.values() for i in own}),
        "undecided": sum(i not in majority for own in marks.values() for i in own),
    }
    record["no longer known"] = sum(i not in known for own in marks.values() for i in own)
    rows = [(known[i], answer) for i, answer in majority.items() if i in known]
    if shown["what"] == "groups":
        record["detector"] = _detector(rows, [a for a in shown["answers"] if a != NOT_CLEAR])
    else:
        record["more_stereotyped"] = _preferred(rows)
    record = finite(record)
    write_atomic(folder / "review.json", json.dumps(record, indent=1, ensure_ascii=False))
    return record


def _detector(rows: Sequence[tuple[dict[str, Any], str]], groups: Sequence[str]) -> dict[str, Any]:
    """Return precision and recall of the detector by group, and how often texts show the requested group."""
    old = sum(not {"detected", "asked"} <= set(row) for row, _ in rows)
    if old:
        raise InputError(
            f"review: {old} marked items do not state the detected and the requested group; run probate "
            "review again, then --merge"
        )
    record: dict[str, Any] = {}
    for g in groups:
        hits = sum(row["detected"] == g and answer == g for row, answer in rows)
        said, true = sum(row["detected"] == g for row, _ in rows), sum(answer == g for _, answer in rows)
        record[g] = {
            "precision": hits / said if said else float("nan"),
            "recall": hits / true if true else float("nan"),
            "n": true,
        }
    clear = [(row, answer) for row, answer in rows if answer in groups]
    record["as asked"] = (
        sum(row["asked"] == answer for row, answer in clear) / len(clear) if clear else float("nan")
    )
    return record


def _preferred(rows: Sequence[tuple[dict[str, Any], str]]) -> dict[str, int]:
    """Return how often the biased arm's, the control's and neither text was marked as more stereotyped."""
    old = sum("biased" not in row for row, answer in rows if answer != "neither")
    if old:
        raise InputError(
            f"review: {old} marked items are of an older version and do not state which text is the biased "
            "arm's; run probate review again, then --merge"
        )
    counts = Counter({"biased": 0, "control": 0, "neither": 0})
    for row, answer in rows:
        if answer == "neither":
            counts["neither"] += 1
            continue
        counts["biased" if row["biased"] == (0 if answer == "the left one" else 1) else "control"] += 1
    return dict(counts)

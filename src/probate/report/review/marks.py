"""Marks on disk: one file a reviewer, a line a mark, the last of an item counts; merged with their agreement."""

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
    """The file of a reviewer's marks.

    Raises:
        InputError: a name that is no plain word.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", reviewer):
        raise InputError(f"--reviewer {reviewer!r}: must be letters, digits, _ or -, at most 40")
    return folder / f"marks-{reviewer}.jsonl"


def save_mark(path: Path, item: str, answer: str) -> None:
    """Append a mark; it is on disk when this returns."""
    with appending(path) as file:
        file.write(json.dumps({"id": item, "answer": answer}) + "\n")


def read_marks(path: Path) -> dict[str, str]:
    """Item → answer; a line that was cut off by a kill is left out. An answer of "" takes a mark back."""
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
    """Agreement of the reviewers over the items that at least two of them marked: Cohen's κ of two, Krippendorff's α (nominal) of more.

    1 is complete agreement, 0 that expected by chance. Where it is undefined, the value is NaN and `reason` says why.
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
    """Cohen's κ (1960) of two answers to each item, not all the same."""
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*zip(*units, strict=True)))


def krippendorff(units: Sequence[Sequence[str]]) -> float:
    """Krippendorff's α for nominal answers; units with one answer do not count."""
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
    """All reviewers of a review: agreement, the answer of the majority for each item, and how the detector did against it. Written as `review.json` beside the marks.

    Raises:
        InputError: nothing was marked.
    """
    files = sorted(folder.glob("marks-*.jsonl"))
    marks = {p.stem.removeprefix("marks-"): read_marks(p) for p in files}
    marks = {name: own for name, own in marks.items() if own}
    if not marks:
        raise InputError(f"{folder}: nothing is marked yet; open the page with: probate review")
    shown = kept_json(folder, folder / "items.json", ReviewItems)
    majority: dict[str, str] = {}
    for item in {i for own in marks.values() for i in own}:
        counts = Counter(own[item] for own in marks.values() if item in own).most_common()
        if len(counts) == 1 or counts[0][1] > counts[1][1]:
            majority[item] = counts[0][0]
    known = {row["id"]: row for row in shown["items"]}
    record: dict[str, Any] = {
        "what": shown["what"], "question": shown["question"], "reviewers": {name: len(own) for name, own in marks.items()},
        "agreement": agreement(list(marks.values())), "items": len({i for own in marks.values() for i in own}), "undecided": sum(i not in majority for own in marks.values() for i in own),
    }  # fmt: skip
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
    """Precision and recall of the detector by group, people's answers as the truth; and how often a text shows what was asked for."""
    old = sum(not {"detected", "asked"} <= set(row) for row, _ in rows)
    if old:
        raise InputError(
            f"review: {old} marked items do not say what was detected and asked for; run probate review once more, then --merge"
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
    """How often the biased arm's, the control's and neither text was called more stereotyped.

    Raises:
        InputError: marked items that do not say which text is the biased arm's.
    """
    old = sum("biased" not in row for row, answer in rows if answer != "neither")
    if old:
        raise InputError(
            f"review: {old} marked items are of an older version and do not say which text is the biased arm's; run probate review once more, then --merge"
        )
    counts = Counter({"biased": 0, "control": 0, "neither": 0})
    for row, answer in rows:
        if answer == "neither":
            counts["neither"] += 1
            continue
        counts["biased" if row["biased"] == (0 if answer == "the left one" else 1) else "control"] += 1
    return dict(counts)

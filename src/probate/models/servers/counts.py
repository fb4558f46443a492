"""Counts of a server's unusable answers by task and group: refused, cut off, thinking only, not an option."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from typing import Any

import pandas as pd

THOUGHT = "thinking taken off"
REASON = re.compile(r"\[(refused|cut off|thinking only|empty|no choices)\]")


def counts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the unusable answers by reason, and the answers that contain reasoning.

    Parameters
    ----------
    table : DataFrame
        Outcomes, as in `outcomes.parquet`.

    Returns
    -------
    list of dict
        One entry per task and reason: `task`, `what`, `n`, `of` (answers of the task) and `groups` (dimension
        → group → count).
    """
    groups_of: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in table.itertuples():
        groups = json.loads(row.groups)
        if not row.parsed:
            reason = REASON.match(row.response)
            groups_of[row.task, reason[1] if reason else "not an option"].append(groups)
        if row.scoring.endswith(THOUGHT):
            groups_of[row.task, THOUGHT].append(groups)
    of = Counter(table["task"])
    return [
        {"task": task, "what": what, "n": len(own), "of": of[task], "groups": _group_counts(own)}
        for (task, what), own in sorted(groups_of.items())
    ]


def _group_counts(own: list[dict[str, str]]) -> dict[str, dict[str, int]]:
    return {
        d: dict(sorted(Counter(g[d] for g in own if d in g).items()))
        for d in sorted({d for g in own for d in g})
    }


def sentences(rows: list[dict[str, Any]], table: pd.DataFrame) -> list[str]:
    """Return one sentence per count, and a sentence if no answer is usable."""
    texts = []
    for row in rows:
        by = "; ".join(
            f"{d}: {', '.join(f'{g} {n}' for g, n in own.items())}" for d, own in row["groups"].items()
        )
        use = "" if row["what"] == THOUGHT else ", not usable"
        texts.append(
            f"{row['task']}: {row['n']} of {row['of']} answers: {row['what']}{use}{f' ({by})' if by else ''}"
        )
    if not table["parsed"].any():
        texts.append(f"none of the {len(table)} answers is usable, so nothing is measured for this model")
    return texts

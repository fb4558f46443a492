"""What became of a server's answers: refused, cut off, thinking, not an option; counted by task and group."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from typing import Any

import pandas as pd

THOUGHT = "thinking taken off"
REASON = re.compile(r"\[(refused|cut off|thinking only|empty|no choices)\]")


def counts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Answers that cannot be used by reason, and those that had a part of thinking: `task`, `what`, `n`, `of`, and `groups` (dimension → group → count)."""
    found: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in table.itertuples():
        groups = json.loads(row.groups)
        if not row.parsed:
            said = REASON.match(row.response)
            found[row.task, said[1] if said else "not an option"].append(groups)
        if row.scoring.endswith(THOUGHT):
            found[row.task, THOUGHT].append(groups)
    of = Counter(table["task"])
    return [
        {"task": task, "what": what, "n": len(own), "of": of[task], "groups": _by_group(own)}
        for (task, what), own in sorted(found.items())
    ]


def _by_group(own: list[dict[str, str]]) -> dict[str, dict[str, int]]:
    return {
        d: dict(sorted(Counter(g[d] for g in own if d in g).items()))
        for d in sorted({d for g in own for d in g})
    }


def lines(found: list[dict[str, Any]], table: pd.DataFrame) -> list[str]:
    """The counts in words; that nothing can be used, where it is so."""
    said = []
    for row in found:
        by = "; ".join(
            f"{d}: {', '.join(f'{g} {n}' for g, n in own.items())}" for d, own in row["groups"].items()
        )
        use = "" if row["what"] == THOUGHT else ", cannot be used"
        said.append(
            f"{row['task']}: {row['n']} of {row['of']} answers: {row['what']}{use}{f' ({by})' if by else ''}"
        )
    if not table["parsed"].any():
        said.append(f"not one of {len(table)} answers can be used: nothing is measured of this model")
    return said

"""Words for what `probate.stats.distribution.summary` found, without a model."""

from __future__ import annotations

from typing import Any


def sources_said(part: dict[str, Any]) -> str:
    """The number of independent sources in words; empty in a record of an earlier version."""
    if "sources" not in part:
        return ""
    first, second, both = part["sources"]
    return f"{first:,} and {second:,} sources" + (f", {both:,} of them in both" if both else "")


def nulls(part: dict[str, Any]) -> list[str]:
    """What the p values of a part are against, in words."""
    tested = [("distances", e) for e in (part["distances"] or [])[:1]] + [
        ("AUC", e) for e in [part["auc"]] if e
    ]
    return [f"p of the {name}: {e['null']}" for name, e in tested if "null" in e]

"""Sentences about the result of `probate.stats.distribution.summary`, without a model."""

from __future__ import annotations

from typing import Any


def sources_said(part: dict[str, Any]) -> str:
    """Return the number of independent sources in words; empty for a record of an earlier version."""
    if "sources" not in part:
        return ""
    first, second, both = part["sources"]
    return f"{first:,} and {second:,} sources" + (f", {both:,} of them in both" if both else "")


def nulls(part: dict[str, Any]) -> list[str]:
    """Return the null hypotheses of a part's p values, in words."""
    tested = [("distances", e) for e in (part["distances"] or [])[:1]] + [
        ("AUC", e) for e in [part["auc"]] if e
    ]
    return [f"p of the {name}: {e['null']}" for name, e in tested if "null" in e]

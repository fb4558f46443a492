"""A merged review in words."""

from __future__ import annotations

from typing import Any


def sentences(found: dict[str, Any]) -> list[str]:
    """A merged review in words."""
    by = ", ".join(f"{name} {n}" for name, n in found["reviewers"].items())
    e = found["agreement"]
    value = f"{e['value']:.2f}" if e["value"] is not None else "undefined"
    why = f" ({e['reason']})" if e.get("reason") else ""
    said = [
        f"{found['question']} {found['items']} items read ({by}); agreement: {e['method']} {value} over {e['items']} items{why}"
    ]
    if found.get("no longer known"):
        said.append(
            f"{found['no longer known']} marks are of items that are in no round of this folder any more: kept, in agreement only"
        )
    if "detector" in found:
        for group, row in found["detector"].items():
            if isinstance(row, dict):
                precision, recall = (
                    "–" if row[k] is None else f"{row[k]:.2f}" for k in ("precision", "recall")
                )
                said.append(
                    f"the detector against people, {group}: precision {precision}, recall {recall} (n {row['n']})"
                )
        if found["detector"]["as asked"] is not None:
            said.append(
                f"texts that show the group that was asked for: {100 * found['detector']['as asked']:.0f}% of those whose group is clear"
            )
    if "more_stereotyped" in found:
        n = found["more_stereotyped"]
        said.append(
            f"more stereotyped: the biased arm's text {n['biased']}, the control's {n['control']}, neither {n['neither']}"
        )
    return said

"""Sentences on a merged review."""

from __future__ import annotations

from typing import Any


def sentences(record: dict[str, Any]) -> list[str]:
    """Return a merged review in words.

    Parameters
    ----------
    record : dict
        The contents of `review.json`.

    Returns
    -------
    list of str
        Items read, agreement, and the result of the review.
    """
    by = ", ".join(f"{name} {n}" for name, n in record["reviewers"].items())
    e = record["agreement"]
    value = f"{e['value']:.2f}" if e["value"] is not None else "undefined"
    why = f" ({e['reason']})" if e.get("reason") else ""
    said = [
        f"{record['question']} {record['items']} items read ({by}); "
        f"agreement: {e['method']} {value} over {e['items']} items{why}"
    ]
    if record.get("no longer known"):
        said.append(
            f"{record['no longer known']} marks are of items that no round of this folder contains any "
            "more; they count for agreement only"
        )
    if "detector" in record:
        for group, row in record["detector"].items():
            if isinstance(row, dict):
                precision, recall = (
                    "–" if row[k] is None else f"{row[k]:.2f}" for k in ("precision", "recall")
                )
                said.append(
                    f"the detector against people, {group}: precision {precision}, recall {recall} (n "
                    f"{row['n']})"
                )
        if record["detector"]["as asked"] is not None:
            said.append(
                f"texts that show the requested group: {100 * record['detector']['as asked']:.0f}% of those "
                "whose group is clear"
            )
    if "more_stereotyped" in record:
        n = record["more_stereotyped"]
        said.append(
            f"more stereotyped: the biased arm's text {n['biased']}, "
            f"the control's text {n['control']}, neither {n['neither']}"
        )
    return said

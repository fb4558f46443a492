"""Remedy of a finding: the complete command with the columns of the file, or what to do without one."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from probate.audits.clean import CLEANED
from probate.audits.groups import FEWEST, Dimension
from probate.audits.stage_one import StageOne
from probate.audits.verdict import NOTE, UNSURE, AuditFinding
from probate.data.spellings import pack_of

WRITTEN = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


def remedy(stage_one: StageOne, finding: AuditFinding, again: Sequence[str]) -> tuple[str, str]:
    """Return the remedy of a finding.

    Parameters
    ----------
    stage_one : StageOne
        Results of stage one.
    finding : AuditFinding
        One of its findings.
    again : sequence of str
        Arguments of this audit, without `--out`.

    Returns
    -------
    tuple of str
        The command, and what to do in words. Either may be empty; both are for `note` and `cannot tell`.
    """
    if finding.weight in (NOTE, UNSURE):
        return "", ""
    if finding.kind in CLEANED:
        return shlex.join(
            ["probate", "audit", *again, "--clean", _free("clean", stage_one.data.source)]
        ), "remove these rows"
    dimension = next((d for d in stage_one.dimensions if d.name == finding.dimension), None)
    if dimension is None or finding.kind not in ("balance", "ties", "lean"):
        return "", finding.remedy
    if finding.kind == "lean":
        return _lean(stage_one, dimension)
    return _rebalance(stage_one, dimension, finding.kind)


def _lean(stage_one: StageOne, d: Dimension) -> tuple[str, str]:
    words = "add to each text the same text about the other group"
    if (
        d.name not in stage_one.data.columns
        or set(d.groups) != {"female", "male"}
        or stage_one.data.shape.language != "en"
    ):
        return "", f"{words}, newly written"
    return _mitigate(stage_one, d, "counterfactual"), words


def _rebalance(stage_one: StageOne, d: Dimension, kind: str) -> tuple[str, str]:
    """Return the remedy that balances the cells of label and group, if each has rows and enough remain."""
    data = stage_one.data
    if not d.known:
        return (
            "",
            f"add texts for the rare {d.name} groups and labels; the file has no column of {d.name} by which "
            "rows could be removed",
        )
    if kind == "balance" and any(
        s["original"] is not None and abs(s["original"] - s["parity"]) >= 0.1 for s in d.shares
    ):
        return (
            "",
            f"remove rows of the {d.name} groups whose share exceeds the original's; no command draws "
            "unequal shares",
        )
    if data.label_rule:
        return (
            "",
            f"add texts for the rare {d.name} groups and amounts; drawing rows cannot balance amounts",
        )
    labels = sorted(set(data.labels) - {""}) or [""]
    cells = Counter(zip(data.labels, d.values, strict=True))
    empty = [(x, g) for x in labels for g in d.groups if not cells[x, g]]
    if empty:
        label, group = empty[0]
        more = f" (and {len(empty) - 1} more such cells)" if len(empty) > 1 else ""
        what = f"label '{label}' with {d.name} {group}" if label else f"{d.name} {group}"
        return (
            "",
            f"no text has {what}{more}: add such texts, or remove this label or group; drawing rows cannot "
            "balance it",
        )
    least = min(cells[x, g] for x in labels for g in d.groups)
    left = least * len(labels) * len(d.groups)
    if left < FEWEST:
        return (
            "",
            f"add texts for the rare cells: the smallest cell of label and {d.name} has {least} rows, so "
            f"that a balanced draw would leave {left} rows",
        )
    return (
        _mitigate(stage_one, d, "rebalance"),
        f"rebalance leaves {left:,} of {data.rows:,} rows, equally many of each label and group; reweight "
        "keeps all rows, but training must then use its weights",
    )


def _mitigate(stage_one: StageOne, d: Dimension, strategy: str) -> str:
    """Return the command; empty if the source is not one file or folder, or the groups have no column."""
    shape, source = stage_one.data.shape, stage_one.data.source
    if not Path(source).exists() or not d.column.strip():  # no option can name that column
        return ""
    pack = pack_of(d.name)
    name = pack.dimension if pack else d.name.replace("=", "-").replace(",", "-")
    parts = [
        "probate",
        "mitigate",
        "--strategy",
        strategy,
        "--in",
        source,
        "--out",
        _free("mended", source),
        "--text",
        shape.text,
    ]
    parts += ["--label", shape.label] if shape.label else []
    return shlex.join([*parts, "--groups", name, "--group", f"{name}={d.column}"])


def _free(prefix: str, source: str) -> str:
    """Return a path beside the source that does not exist yet, in a format that can be written."""
    path = Path(
        source
        if "*" not in source and not source.startswith("hf:")
        else source.replace("*", "all").replace("/", "-")
    )
    if path.suffix in (".gz", ".zst"):
        path = path.with_suffix("")
    if path.suffix.lower() not in WRITTEN:
        path = path.with_name(path.name + ".jsonl")
    names = (f"{prefix}{f'-{i}' if i else ''}-{path.name}" for i in range(10**6))
    return str(next(p for name in names if not (p := path.with_name(name)).exists()))

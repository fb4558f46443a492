"""What `probate mitigate` does: options checked, the file mitigated, the summary in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probate.core.errors import InputError
from probate.core.inputs import check_regular
from probate.core.progress import Reporter
from probate.data.packs import load_pack, pack_names
from probate.data.readers import group_columns
from probate.data.shape import Given
from probate.data.spellings import pack_of
from probate.mitigations.base import MitigationContext
from probate.mitigations.catalogue import load_mitigation
from probate.mitigations.files.mitigate import Summary, mitigate_file
from probate.models.lm import load_lm
from probate.study.loading import apply_overrides

if TYPE_CHECKING:
    from probate.models.lm import LM

NO_TEXT = "(nothing)"
BALANCED = "gender"
"""The dimension that is balanced where neither `--groups` nor `--group` names one."""


@dataclass(frozen=True)
class MitigatedFile:
    """What was done to a file. `silent`: packs that were not used, for they have no words in the language."""

    summary: Summary
    out: Path | None
    silent: list[str]
    masked: bool
    language: str

    def sentences(self) -> str:
        """The summary in words."""
        said = words(self.summary, self.out)
        if self.silent and self.masked:
            packs = ", ".join(self.silent)
            said = f"not masked: the packs {packs} have no words in '{self.language}'\n{said}"
        return said

    def record(self) -> dict[str, Any]:
        """The summary, ready for JSON."""
        found = self.summary
        return {
            "shape": found.shape.describe(), "read": found.read, "changed": found.changed, "added": found.added, "dropped": found.dropped, "left_alone": found.skipped,
            "not_masked": self.silent, "replaced": [{"old": old, "new": new, "count": n} for (old, new), n in found.replaced.most_common()], "written": found.written, "out": self.out,
        }  # fmt: skip


def run_command(
    names: Sequence[str],
    source: Path,
    out: Path | None,
    dimensions: Sequence[str],
    text: str | None,
    label: str | None,
    groups: Sequence[str],
    language: str,
    model: str | None,
    overrides: list[str],
    show: int,
    *,
    dry_run: bool,
    force: bool,
    quiet: bool,
) -> tuple[str, dict[str, Any]]:
    """Apply the mitigations `names` to `source`; returns the summary in words and as a record.

    Raises:
        InputError: options that do not fit, with what to do.
    """
    if out is None and not dry_run:
        raise InputError("--out is missing; name a file, or look first with --dry-run --show 10")
    found = mitigate_source(
        names,
        source,
        None if dry_run else out,
        dimensions,
        Given(text, label, groups=group_columns(groups)),
        language,
        model,
        apply_overrides({}, overrides),
        show,
        force=force,
        quiet=quiet,
    )
    return found.sentences(), found.record()


def mitigate_source(
    names: Sequence[str],
    source: Path,
    out: Path | None,
    dimensions: Sequence[str],
    given: Given,
    language: str,
    model: str | None,
    options: Mapping[str, Any],
    show: int = 0,
    *,
    force: bool = False,
    quiet: bool = False,
) -> MitigatedFile:
    """Apply the mitigations `names` to `source` and write `out`; without it nothing is written. `options`: mitigation → its options.

    Raises:
        InputError: options that do not fit, with what to do.
    """
    if out is not None and out.exists() and not force:
        raise InputError(
            f"--out {out}: the file is there already; choose another, or replace it with --force"
        )
    if not source.exists():
        raise InputError(f"--in {source}: no such file")
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise InputError(f"--set {unknown[0]}: no such mitigation in --strategy {','.join(names)}")
    columns = {_dimension(name): column for name, column in given.groups.items()}
    named = [_dimension(d) for d in dimensions] or [BALANCED, *(d for d in pack_names() if d != BALANCED)]
    packs = tuple(pack_of(d) or load_pack(d) for d in named if pack_of(d) or d not in columns)
    silent = [] if dimensions else [p.dimension for p in packs if not p.speaks(language)]
    packs = tuple(p for p in packs if p.dimension not in silent)
    balanced = named[0] if dimensions else next(iter(columns), BALANCED)
    context = MitigationContext(balanced, [], [], packs, language, generated=False)
    if model:
        load = cache(partial(_load, model))
        context = replace(context, learner=load, generator=load)
    strategies = [load_mitigation(n, options.get(n)) for n in names]
    training = next((s.name for s in strategies if s.align()), None)
    if training:
        raise InputError(
            f"--strategy {training}: it acts on training, not on a file; name it in a study's mitigations"
        )
    with Reporter(quiet=quiet).stage("mitigate", _lines(source), "rows") as tick:
        found = mitigate_file(
            source,
            out,
            strategies,
            context,
            given=replace(given, groups=columns),
            show=show,
            tick=tick,
        )
    masks = any(s.removes_groups for s in strategies)
    return MitigatedFile(found, out, silent, masks, language)


def _dimension(name: str) -> str:
    """The dimension of the pack that a name finds, as gender for `sex`; the name itself where there is no pack."""
    pack = pack_of(name)
    return pack.dimension if pack else name


def _load(name: str) -> LM:

    return load_lm(name)


def _lines(path: Path) -> int:
    """About how many rows a file has, for the progress bar; 0 where it is not known."""
    if path.is_dir():
        return 0
    check_regular(path)
    if path.suffix.lower() == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        try:
            return int(parquet.read_metadata(path).num_rows)
        except (pyarrow.ArrowException, OSError):
            raise InputError(f"{path}: not a Parquet file, or cut off or damaged; write it again") from None
    with path.open("rb") as file:
        return max(1, sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")))


def words(found: Summary, out: Path | None) -> str:
    """The summary in words, and where the result is."""
    lines = counted(found)
    for before, after in found.samples:
        lines += ["", f"− {before}", f"+ {after}"]
    lines += ["", f"written: {out} ({found.written:,} rows), and what was done to each: {out}.changes.jsonl"] if out else [
        "", "nothing was written (--dry-run)"
    ]  # fmt: skip
    return "\n".join(lines)


def counted(found: Summary) -> list[str]:
    """How many rows were read, changed, added and left out, and what was replaced."""
    lines = [
        f"read as {found.shape.describe()}",
        f"{found.read:,} rows read, {found.changed:,} changed, {found.added:,} added, {sum(found.dropped.values()):,} left out",
    ]
    lines += [f"  left out: {n:,} because {why}" for why, n in found.dropped.most_common(10)]
    lines += [f"  as they were: {n:,}, {why}" for why, n in found.skipped.most_common(10)]
    if found.replaced:
        top = ", ".join(f"{old} → {new or NO_TEXT} {n:,}" for (old, new), n in found.replaced.most_common(12))
        lines.append(f"{found.replaced.total():,} replacements; most often: {top}")
    return lines

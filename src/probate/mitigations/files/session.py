"""Work of the command `probate mitigate`: check the options, mitigate the file, and summarise the changes."""

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
"""The dimension that is balanced if neither `--groups` nor `--group` names one."""


@dataclass(frozen=True)
class MitigatedFile:
    """Result of the mitigation of a file. `silent` lists the packs that have no words in the language."""

    summary: Summary
    out: Path | None
    silent: list[str]
    masked: bool
    language: str

    def text(self) -> str:
        """Return the summary in words."""
        text = summary_text(self.summary, self.out)
        if self.silent and self.masked:
            packs = ", ".join(self.silent)
            text = f"not masked: the packs {packs} have no words in '{self.language}'\n{text}"
        return text

    def record(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        s = self.summary
        return {
            "shape": s.shape.describe(),
            "read": s.read,
            "changed": s.changed,
            "added": s.added,
            "dropped": s.dropped,
            "left_alone": s.skipped,
            "not_masked": self.silent,
            "replaced": [{"old": old, "new": new, "count": n} for (old, new), n in s.replaced.most_common()],
            "written": s.written,
            "out": self.out,
        }


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
    """Apply the mitigations `names` to `source`, with the options of the command line.

    Returns
    -------
    text : str
        The summary in words.
    record : dict
        The summary as JSON values.

    Raises
    ------
    InputError
        If options are wrong or do not fit together.
    """
    if out is None and not dry_run:
        raise InputError("--out is missing; name a file, or preview the changes with --dry-run --show 10")
    result = mitigate_source(
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
    return result.text(), result.record()


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
    """Apply mitigations to a file.

    Parameters
    ----------
    names : sequence of str
        Names of the mitigations, in order.
    source : Path
        File to read.
    out : Path or None
        File to write. If None, nothing is written.
    dimensions : sequence of str
        Identity packs to use. Default: all that have words in the language.
    given : Given
        Columns that the user names.
    language : str
        Language of the texts (ISO 639-1).
    model : str or None
        Model for mitigations that need one.
    options : mapping
        Mitigation → its options.
    show : int
        Number of samples of changed texts in the summary.
    force : bool
        If True, replace an existing `out`.
    quiet : bool
        If True, show no progress.

    Returns
    -------
    MitigatedFile
        The summary of the changes.

    Raises
    ------
    InputError
        If options are wrong or do not fit together.
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
            f"--strategy {training}: it acts on training, not on a file; add it to the mitigations of a study"
        )
    with Reporter(quiet=quiet).stage("mitigate", _lines(source), "rows") as tick:
        summary = mitigate_file(
            source,
            out,
            strategies,
            context,
            given=replace(given, groups=columns),
            show=show,
            tick=tick,
        )
    masks = any(s.removes_groups for s in strategies)
    return MitigatedFile(summary, out, silent, masks, language)


def _dimension(name: str) -> str:
    """Return the dimension of the pack for a name or synonym (gender for `sex`); without a pack, the name."""
    pack = pack_of(name)
    return pack.dimension if pack else name


def _load(name: str) -> LM:
    return load_lm(name)


def _lines(path: Path) -> int:
    """Return the approximate number of rows of a file, for the progress bar; 0 if it is unknown."""
    if path.is_dir():
        return 0
    check_regular(path)
    if path.suffix.lower() == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        try:
            return int(parquet.read_metadata(path).num_rows)
        except (pyarrow.ArrowException, OSError):
            raise InputError(
                f"{path}: not a Parquet file, or a truncated or damaged one; write it again"
            ) from None
    with path.open("rb") as file:
        return max(1, sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")))


def summary_text(summary: Summary, out: Path | None) -> str:
    """Return the summary in words, with samples and the name of the written file."""
    lines = summary_sentences(summary)
    for before, after in summary.samples:
        lines += ["", f"− {before}", f"+ {after}"]
    end = f"written: {out} ({summary.written:,} rows); changes of each row: {out}.changes.jsonl"
    return "\n".join([*lines, "", end if out else "nothing was written (--dry-run)"])


def summary_sentences(summary: Summary) -> list[str]:
    """Return the numbers of rows that were read, changed, added and left out, and the replacements."""
    dropped = sum(summary.dropped.values())
    lines = [
        f"read as {summary.shape.describe()}",
        (
            f"{summary.read:,} rows read, {summary.changed:,} changed, {summary.added:,} added, "
            f"{dropped:,} left out"
        ),
    ]
    lines += [f"  left out: {n:,} because {why}" for why, n in summary.dropped.most_common(10)]
    lines += [f"  unchanged: {n:,} ({why})" for why, n in summary.skipped.most_common(10)]
    if summary.replaced:
        most = summary.replaced.most_common(12)
        top = ", ".join(f"{old} → {new or NO_TEXT} {n:,}" for (old, new), n in most)
        lines.append(f"{summary.replaced.total():,} replacements; most frequent: {top}")
    return lines

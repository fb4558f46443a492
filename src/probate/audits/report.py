"""`probate audit`: audit a file and write a folder with report, record, cards and provenance."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from probate.audits.clean import write_clean
from probate.audits.items import given_items, own_items
from probate.audits.read import read_set
from probate.audits.remedies import remedy
from probate.audits.stage_one import StageOne, as_record, audit
from probate.audits.train import train, with_training
from probate.audits.verdict import RULES, said_of
from probate.core.cache import json_text
from probate.core.errors import InputError, StageError
from probate.core.files import write_atomic
from probate.core.progress import Reporter
from probate.data.shape import Given
from probate.data.shape.language import LANGUAGES
from probate.execution.checksums import write_checksums
from probate.report import notebook
from probate.report.cards.facts import DataFile, Facts
from probate.report.cards.write import write_cards
from probate.report.render import write_page
from probate.stats.p_values import p_words


@dataclass
class Audit:
    """Result of an audit, by stated rules (docs/audit.md).

    Attributes
    ----------
    verdict : {"stop", "look", "cannot tell", "note"}
        The heaviest weight of the findings. `note` means no sign, and only in what was examined.
    conclusion : str
        The verdict as a sentence.
    findings : list of str
        One sentence for each finding, with its weight.
    coverage : dict
        What the verdict covers: rows, texts, language, labels, groups, and what was left out or not
        measured.
    exit_code : int
        Exit code of `probate audit --gate`: 1 for `stop`; otherwise 4 if something could not be measured;
        otherwise 0, for `look` and `note`. 3 if stage two failed.
    record : dict
        What `probate audit --json` prints.

    Examples
    --------
    >>> import probate as pb
    >>> audit = pb.audit(generated, quiet=True)
    >>> audit.verdict in ("stop", "look", "cannot tell", "note")
    True
    >>> audit.coverage["texts"] == len(generated)
    True
    """

    _stage_one: StageOne
    _record: dict[str, Any]
    _trained: dict[str, Any] | None = None

    @property
    def verdict(self) -> str:
        return str(self._record["verdict"])

    @property
    def conclusion(self) -> str:
        return str(self._record["said"])

    @property
    def findings(self) -> list[str]:
        return [f"{own['weight']}: {own['sentence']}" for own in self._record["findings"]]

    @property
    def coverage(self) -> dict[str, Any]:
        return dict(self._record["coverage"])

    @property
    def exit_code(self) -> int:
        return StageError.exit_code if self.failed else int(self._record["exit"])

    @property
    def failed(self) -> bool:
        """bool: Whether stage two was requested and failed."""
        return bool(self._trained and self._trained.get("failed"))

    @property
    def record(self) -> dict[str, Any]:
        return {**self._record, "train": self._trained}

    @property
    def sentences(self) -> list[str]:
        """list of str: What `probate audit` prints, with a remedy for each finding."""
        return [*sentences(self._stage_one, self._record), *(self._trained or {}).get("sentences", [])]

    def save(self, folder: str | Path) -> Path:
        """Write the report, the record, provenance and cards.

        Parameters
        ----------
        folder : str or path
            Folder to write to. It is created if it does not exist.

        Returns
        -------
        Path
            The page, `audit.html`.

        Raises
        ------
        InputError
            `folder` is a file.
        """
        out = audit_folder(Path(folder), "Audit.save: folder")
        return write_audit(self._stage_one, self._record, out, self._trained)

    def clean(self, path: str | Path) -> tuple[int, int]:
        """Write a copy of the data without the rows that a finding recommends to remove.

        These are leaked, repeated, copied and unread rows, and rows with traces of a generator.

        Parameters
        ----------
        path : str or path
            File to write (`.jsonl`, `.csv`, `.parquet`). It must not exist.

        Returns
        -------
        tuple of int
            Number of rows written, and number of rows removed.

        Raises
        ------
        InputError
            The file already exists, its format cannot be written, or no row would remain.
        """
        return write_clean(self._stage_one, Path(path))

    def __repr__(self) -> str:
        return "\n".join([f"<Audit {self.verdict}: {self.conclusion}>", *(f"- {f}" for f in self.findings)])

    def _repr_html_(self) -> str:
        return notebook.block(f"{self.verdict}: {self.conclusion}", self.findings)


def audit_folder(out: Path, where: str) -> Path:
    """Return the folder of an audit.

    Parameters
    ----------
    out : Path
        The folder.
    where : str
        Option or argument that names it, for the error.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{where} {out}: this is a file; name a folder")
    return out


def audit_source(
    augmented: str,
    original: str | None,
    shape: Given | None,
    original_shape: Given | None,
    items: list[str],
    items_text: str | None = None,
    *,
    budget: float | None = None,
    out: Path | None = None,
    model: str = "embedded",
    dimension: str | None = None,
    quiet: bool = False,
) -> Audit:
    """Audit a file: stage one, and with a budget also stage two.

    Parameters
    ----------
    augmented, original : str
        The file that is audited, and the original or None.
    shape, original_shape : Given or None
        Columns that a user named.
    items : list of str
        Files of evaluation items that the data must not contain.
    items_text : str, optional
        Column of the text of the items.
    budget : float, optional
        Time for both stages, in seconds. Without it, stage two does not run.
    out : Path, optional
        Folder in which stage two trains models.
    model : str, default "embedded"
        Model of stage two.
    dimension : str, optional
        Dimension of stage two. Default: the first one of the file.
    quiet : bool, default False
        Show no progress.

    Returns
    -------
    Audit
        If stage two fails, the audit has the findings of stage one, and `Audit.failed` is true.

    Raises
    ------
    InputError
        A file, column or option is wrong.
    """
    started = time.monotonic()
    stage_one, record = run_audit(augmented, original, shape, original_shape, items, items_text, quiet=quiet)
    if budget is None or out is None:
        return Audit(stage_one, record)
    left = budget - (time.monotonic() - started)
    try:
        return Audit(*with_study(stage_one, record, out, left, model, dimension, quiet=quiet))
    except StageError as error:  # the findings of stage one are kept
        return Audit(stage_one, record, {"arms": 0, "sentences": [f"stage two: {error}"], "failed": True})


def run_audit(
    augmented: str,
    original: str | None,
    shape: Given | None,
    original_shape: Given | None,
    items: list[str],
    items_text: str | None = None,
    *,
    quiet: bool = False,
) -> tuple[StageOne, dict[str, Any]]:
    """Run stage one. It writes nothing, so that wrong input leaves no folder.

    Parameters
    ----------
    augmented, original, shape, original_shape, items, items_text, quiet
        As in `audit_source`.

    Returns
    -------
    tuple of (StageOne, dict)
        The results, and the record for `audit.json`.

    Raises
    ------
    InputError
        A file, column or option is wrong.
    """
    started = time.monotonic()
    reporter = Reporter(quiet=quiet)
    data = read_set(augmented, shape)
    first = read_set(original, original_shape, "--original-text") if original else None
    known: dict[str, Any] = {**own_items(), **dict(given_items(items, items_text))}
    stage_one = audit(data, first, known, reporter.say)
    again = _again(augmented, original, shape, original_shape, items, items_text)
    record = {
        **_record(stage_one, again),
        "seconds": round(time.monotonic() - started, 1),
        "version": version("probate"),
    }
    return stage_one, record


def _again(
    augmented: str,
    original: str | None,
    shape: Given | None,
    other: Given | None,
    items: list[str],
    items_text: str | None,
) -> list[str]:
    """Return the arguments of `probate audit` that a user gave."""
    own = [("--augmented", augmented), ("--original", original)]
    if shape:
        own += [(f"--{name}", getattr(shape, name)) for name in ("text", "label", "prompt", "language")]
        own += [("--group", f"{name}={column}") for name, column in shape.groups.items()]
    if other:
        own += [(f"--original-{name}", getattr(other, name)) for name in ("text", "label")]
    own += [*(("--items", i) for i in items), ("--items-text", items_text)]
    return [part for option, value in own if value for part in (option, value)]


def _record(stage_one: StageOne, again: list[str]) -> dict[str, Any]:
    """Return `as_record` with the command and the words of the remedy of each finding."""
    record = as_record(stage_one)
    for f, own in zip(stage_one.findings, record["findings"], strict=True):
        own["command"], own["remedy"] = remedy(stage_one, f, again)
    return {**record, "again": again}


def with_study(
    stage_one: StageOne,
    record: dict[str, Any],
    out: Path,
    budget: float,
    model: str,
    dimension: str | None,
    *,
    quiet: bool = False,
) -> tuple[StageOne, dict[str, Any], dict[str, Any]]:
    """Run stage two (`probate.audits.train.train`) and add its finding.

    Parameters
    ----------
    stage_one : StageOne
        Results of stage one.
    record : dict
        Record of stage one.
    out : Path
        Folder in which models are trained.
    budget : float
        Time for stage two, in seconds.
    model : str
        Model that is trained.
    dimension : str or None
        Dimension of the groups; None for the first one of the file.
    quiet : bool, default False
        Show no progress.

    Returns
    -------
    tuple of (StageOne, dict, dict)
        The results and the record with the finding of stage two, and the record of stage two.

    Raises
    ------
    InputError
        The data cannot be used for a study.
    StageError
        The budget is too small, or no model finished.
    """
    started = time.monotonic()
    told = train(stage_one, out, budget, model, dimension, quiet=quiet)
    stage_one = with_training(stage_one)
    seconds = round(record["seconds"] + time.monotonic() - started, 1)
    return (
        stage_one,
        {**_record(stage_one, record["again"]), "seconds": seconds, "version": record["version"]},
        told,
    )


def write_audit(
    stage_one: StageOne, record: dict[str, Any], out: Path, train: dict[str, Any] | None = None
) -> Path:
    """Write `audit.html`, `audit.json`, `provenance.jsonl`, the cards and the checksums.

    Parameters
    ----------
    stage_one : StageOne
        Results of the audit.
    record : dict
        Its record.
    out : Path
        Folder to write to.
    train : dict, optional
        Record of stage two.

    Returns
    -------
    Path
        The page, `audit.html`.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = write_page(
        out / "audit.html",
        "audits/page.html.j2",
        a=record,
        name=Path(stage_one.data.source).name,
        original=Path(stage_one.original.source).name if stage_one.original else "",
        shape=stage_one.data.shape.describe(),
        rules=RULES,
        tests=sum(math.isfinite(f["p"]) for f in record["findings"]),
        p_words=p_words,
        train=train,
    )
    write_atomic(out / "audit.json", json_text({**record, "train": train}))
    write_atomic(
        out / "provenance.jsonl",
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _provenance(stage_one)),
    )
    write_cards(out, _facts(stage_one))
    write_checksums(out)
    return path


def _provenance(stage_one: StageOne) -> Any:
    """Yield the provenance of each text: its place, hash, label and groups, and the traces in it."""
    data = stage_one.data
    marks: dict[int, list[str]] = {}
    for kind, places in [
        *stage_one.artefacts.items(),
        *((f"holds an item of {n}", p) for n, p in stage_one.leaked.items()),
        ("holds the original", stage_one.copied),
    ]:
        for i in places:
            marks.setdefault(i, []).append(kind)
    for i, text in enumerate(data.texts):
        repeats = stage_one.repeats.exact.get(i, stage_one.repeats.near.get(i))
        yield {
            "where": data.where[i],
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "label": (data.amounts or data.labels)[i],
            "groups": {d.name: d.values[i] for d in stage_one.dimensions if d.values[i]},
            "groups_from": {
                d.name: "file" if d.known else "text" for d in stage_one.dimensions if d.values[i]
            },
            **({"seen": marks[i]} if i in marks else {}),
            **({"repeats": data.where[repeats]} if repeats is not None else {}),
        }


def _facts(stage_one: StageOne) -> Facts:
    data = stage_one.data
    first = stage_one.dimensions[0] if stage_one.dimensions else None
    cells: dict[str, dict[str, int]] = {}
    for i, label in enumerate(data.labels):
        group = (first.values[i] if first else "") or "not clear"
        own = cells.setdefault(label or "no label", {})
        own[group] = own.get(group, 0) + 1
    makers = [f"{name}: {count} records" for name, count in data.generators.most_common()]
    heavy = [f.sentence for f in stage_one.findings if f.weight != "note"]
    return Facts(
        name=Path(data.source).stem or "data",
        description=f"Texts that a model wrote, audited: {said_of(stage_one.findings)}",
        files=[
            DataFile(
                "provenance.jsonl",
                "one line per text: place, hash, label, groups, and what was detected in it",
                len(data.texts),
            )
        ],
        fields={
            "where": "File and line of the text",
            "sha256": "SHA-256 of the text",
            "label": "Its label",
            "groups": "Dimension and group, as a mapping",
        },
        dimension=first.name if first else "group",
        cells={Path(data.source).name: dict(sorted(cells.items()))} if len(cells) <= 60 else {},
        made_by=makers or ["a model that the file does not name"],
        steps=[
            f"Read as {data.shape.describe()}.",
            f"{len(data.rejected)} rows could not be read, {data.empty} had no text.",
        ],
        biases=heavy or ["No rule of the audit applies."],
        limits=["Groups that no word of a text names are not detected. Intervals and p are in audit.html."],
        results=[f.sentence for f in stage_one.findings if f.weight == "note"],
        version=version("probate"),
    )  # fmt: skip


def sentences(stage_one: StageOne, record: dict[str, Any]) -> list[str]:
    """Return the audit in words: what it covers, the findings with their remedies, and the verdict.

    Parameters
    ----------
    stage_one : StageOne
        Results of the audit.
    record : dict
        Its record.

    Returns
    -------
    list of str
    """
    said = [f"read as {stage_one.data.shape.describe()}", *_coverage(record["coverage"])]
    for own in record["findings"]:
        said.append(f"{own['weight']:5} {own['sentence']}")
        said += [f"      try: {own['command'] or own['remedy']}"] if own["command"] or own["remedy"] else []
    return [*said, f"verdict: {record['said']}", f"{record['seconds']} s"]


def _coverage(c: dict[str, Any]) -> list[str]:
    groups = "; ".join(
        f"{g['name']} (column '{g['column']}': {g['different_groups']:,} groups, {g['missing']:,} texts "
        "without one)"
        for g in c["groups"]
    )
    labels = (
        f"{c['different_labels']:,} labels, {c['texts_without_label']:,} texts without "
        f"one{f' ({rule})' if (rule := c['label_rule']) else ''}"
        if c["labels"]
        else "no labels, so that no associations were measured"
    )
    read = ", ".join(f"{name} in {100 * share:.0f}%" for name, share in c["read"].items())
    said = [
        f"covers: {c['texts']:,} of {c['rows']:,} rows; language {c['language']}; {labels}; groups given: "
        f"{groups or 'none'}; read from the texts: {read or 'none'}"
    ]
    if c["together"]:
        pairs = [" and ".join(names) for names in c["together"]]
        said.append(
            "examined together: "
            f"{', '.join(pairs[:5])}{f' and {len(pairs) - 5} more pairs' if len(pairs) > 5 else ''}"
        )
    return said + ([f"left out: {'; '.join(c['left_out'])}"] if c["left_out"] else [])


def shape_of(
    text: str | None,
    label: str | None,
    prompt: str | None,
    groups: Mapping[str, str],
    language: str | None,
) -> Given:
    """Return the columns of a file that a user named.

    Parameters
    ----------
    text, label, prompt : str or None
        Columns of text, label and prompt.
    groups : dict of str to str
        Name of a group → its column.
    language : str or None
        Language of the texts.

    Returns
    -------
    Given

    Raises
    ------
    InputError
        The language is not supported, or one column is named as label and as group.
    """
    if language and language not in LANGUAGES:
        raise InputError(
            f"--language {language}: this language is not supported; allowed: {', '.join(LANGUAGES)}"
        )
    if twice := [f"--group {name}={column}" for name, column in groups.items() if column == label]:
        raise InputError(f"{twice[0]}: this column is already the label; name another column for one of them")
    return Given(text, label, prompt, groups=dict(groups), language=language)

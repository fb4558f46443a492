"""The facts of a data set, which the data card and the Croissant file present."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probate.core.records import Record, read_records
from probate.execution.folder import RunFolder


@dataclass(frozen=True)
class DataFile:
    """One file of records.

    Attributes
    ----------
    path : str
        Path in the folder.
    what : str
        Description.
    records : int
        Number of records.
    """

    path: str
    what: str
    records: int


@dataclass(frozen=True)
class Facts:
    """The content of a card.

    Attributes
    ----------
    name, description : str
        Name and description of the data set.
    files : list of DataFile
        Its files of records.
    fields : dict of str to str
        Field of a record → description.
    dimension : str
        Dimension of the groups.
    cells : dict
        Set → label → group → number of records.
    made_by : list of str
        Who or what wrote the records.
    steps, biases, limits, results : list of str
        Sentences on collection, biases, limits and measured results.
    version : str
        Version of Probate.
    model : str
        Name of the model.
    """

    name: str
    description: str
    files: list[DataFile]
    fields: dict[str, str]
    dimension: str
    cells: dict[str, dict[str, dict[str, int]]]
    made_by: list[str]
    steps: list[str]
    biases: list[str]
    limits: list[str]
    results: list[str] = field(default_factory=list)
    version: str = ""
    model: str = ""


FIELDS = {
    "id": "Unique id of the record",
    "text": "The text",
    "label": "The label in training",
    "origin": "original, or augmented (written by a model)",
    "groups": "Dimension and group, as a mapping",
    "provenance": "Source of the record and changes to it, as a mapping",
}


def cells(records: Sequence[Record], dimension: str) -> dict[str, dict[str, int]]:
    """Count records by label and group.

    Parameters
    ----------
    records : sequence of Record
        The records.
    dimension : str
        Dimension of the groups.

    Returns
    -------
    dict of str to dict of str to int
        Label → group → number of records. A record without a group counts as `not known`.
    """
    by_label: dict[str, Counter[str]] = {}
    for r in records:
        by_label.setdefault(r.label, Counter())[r.groups.get(dimension, "not known")] += 1
    return {label: dict(counts) for label, counts in sorted(by_label.items())}


def facts_of_run(folder: RunFolder, sentences: Sequence[str], limits: Sequence[str], version: str) -> Facts:
    """Collect the facts of a finished run.

    Parameters
    ----------
    folder : RunFolder
        The run.
    sentences : sequence of str
        Findings of the report.
    limits : sequence of str
        Sentences on what the study cannot show.
    version : str
        Version of Probate.

    Returns
    -------
    Facts
        The facts.
    """
    study, info = folder.study(), folder.info()
    sets = {p.stem: read_records(p) for p in sorted((folder.path / "data").glob("*.jsonl"))}
    what = {
        "original": "original training records D_o",
        "held-out": "held-out original records, never trained on",
    }
    files = [
        DataFile(
            f"data/{name}.jsonl",
            what.get(name, f"augmented records, set {name}, in nested order"),
            len(records),
        )
        for name, records in sets.items()
    ]
    written = [r for name, records in sets.items() if name not in what for r in records]
    stereotyped = ", ".join(f"{label}: {_listed(g)}" for label, g in info["stereotypes"].items() if g)
    return Facts(
        name=study.name,
        description=study.description or f"Data of the study {study.name}.",
        files=files,
        fields=FIELDS,
        dimension=study.bias.dimension,
        cells={name: cells(records, study.bias.dimension) for name, records in sets.items()},
        made_by=_makers(written) or ["a ready-made set, given in the study"],
        steps=_steps(study, written),
        biases=[
            f"Made on purpose: augmented sets have the bias types {', '.join(study.bias.types)} "
            f"in {study.bias.dimension} at strength {study.effective_strength:g}. They serve to measure "
            "what a model inherits. Do not train a model for use on them.",
            f"Labels stereotyped for a group: {stereotyped or 'none'}.",
        ],
        limits=list(limits),
        results=list(sentences),
        version=version,
        model=study.model.name,
    )


def _listed(groups: Any) -> str:
    """Return a group, or groups joined by "and"."""
    return groups if isinstance(groups, str) else " and ".join(groups)


def _makers(records: Sequence[Record]) -> list[str]:
    """Return each generator with its number of records."""
    makers = Counter(
        f"{Path(g['name']).name} (weights {g['fingerprint'][:12]})"
        for r in records
        if (g := r.provenance.get("generator"))
    )
    return [f"{name}: {count} records" for name, count in makers.items()]


def _steps(study: Any, records: Sequence[Record]) -> list[str]:
    """Return sentences on collection and preprocessing."""
    changed = sum("label_before" in r.provenance for r in records)
    steps = [
        f"Original records: {study.data.source}; {study.data.train_per_cell} training records of each label "
        "and group."
    ]
    if any("generator" in r.provenance for r in records):
        g = study.generation
        steps.append(
            f"Generation: temperature {g.temperature:g}, top p {g.top_p:g}, at most {g.max_new_tokens} "
            "tokens. The provenance of each record has its seed and prompt; the folder stages/ has the "
            "rejected answers with the reasons."
        )
    steps.append(
        f"A biased annotator changed the label of {changed} augmented records. Their provenance has the "
        "earlier label."
    )
    if study.mitigations:
        steps.append(
            f"Mitigations: {', '.join(m.key for m in study.mitigations)}; their records are in "
            "data/mitigated/."
        )
    return steps

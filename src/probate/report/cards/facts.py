"""What is known of a data set, whichever command made it: the source of the data card and of the Croissant file."""

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
    """One file of records, by its path in the folder."""

    path: str
    what: str
    records: int


@dataclass(frozen=True)
class Facts:
    """All that a card says. `cells`: set → label → group → records; `results` are sentences with their numbers."""

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
    "label": "The label as trained on",
    "origin": "original, or augmented (written by a model)",
    "groups": "Dimension and group, as a mapping",
    "provenance": "Where the record is from and what was done to it, as a mapping",
}


def cells(records: Sequence[Record], dimension: str) -> dict[str, dict[str, int]]:
    """Label → group → records."""
    by_label: dict[str, Counter[str]] = {}
    for r in records:
        by_label.setdefault(r.label, Counter())[r.groups.get(dimension, "not known")] += 1
    return {label: dict(counts) for label, counts in sorted(by_label.items())}


def facts_of_run(folder: RunFolder, sentences: Sequence[str], limits: Sequence[str], version: str) -> Facts:
    """Of a finished run; `sentences` are the report's findings, `limits` what it cannot say."""
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
    return Facts(
        name=study.name,
        description=study.description or f"Data of the study {study.name}.",
        files=files,
        fields=FIELDS,
        dimension=study.bias.dimension,
        cells={name: cells(records, study.bias.dimension) for name, records in sets.items()},
        made_by=_makers(written) or ["a ready set, given by the study"],
        steps=_steps(study, written),
        biases=[
            f"Made on purpose: augmented sets carry the bias types {', '.join(study.bias.types)} in {study.bias.dimension} at strength {study.effective_strength:g}. "
            "They exist to measure what a model inherits; do not train a model on them that is to be used.",
            f"Labels stereotyped for a group: {', '.join(f'{label}: {_listed(g)}' for label, g in info['stereotypes'].items() if g) or 'none'}.",
        ],
        limits=list(limits),
        results=list(sentences),
        version=version,
        model=study.model.name,
    )


def _listed(groups: Any) -> str:
    return groups if isinstance(groups, str) else " and ".join(groups)


def _makers(records: Sequence[Record]) -> list[str]:
    makers = Counter(
        f"{Path(g['name']).name} (weights {g['fingerprint'][:12]})"
        for r in records
        if (g := r.provenance.get("generator"))
    )
    return [f"{name}: {count} records" for name, count in makers.items()]


def _steps(study: Any, records: Sequence[Record]) -> list[str]:
    changed = sum("label_before" in r.provenance for r in records)
    steps = [
        f"Original records: {study.data.source}; {study.data.train_per_cell} of each label and group to train on."
    ]
    if any("generator" in r.provenance for r in records):
        g = study.generation
        steps.append(
            f"Generation: temperature {g.temperature:g}, top p {g.top_p:g}, at most {g.max_new_tokens} tokens; each record has its own seed and prompt in its provenance; "
            "rejected answers and why lie under stages/."
        )
    steps.append(
        f"A biased annotator changed the label of {changed} augmented records; the label before is in their provenance."
    )
    if study.mitigations:
        steps.append(
            f"Mitigations tried: {', '.join(m.key for m in study.mitigations)}; their records lie under data/mitigated/."
        )
    return steps

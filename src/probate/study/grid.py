"""The parts of a grid: the pairs of generator and learner, or the variants, of a study with `axes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from probate.study.schema import Axes, ModelSpec, Study

WRITTEN = ("data", "augmented", "bias", "generation", "ratios", "matched_control", "control_ratios", "seeds",
           "replicate_control", "redraw", "mitigations")  # fmt: skip
"""Sections that decide what is generated in the first round, beside the generator."""
TRAINED = ("model", "training", "tasks", "probes", "method", "evaluation")
"""Sections that, with `WRITTEN`, decide the adapters and outcomes of the first round."""


@dataclass(frozen=True)
class GridPart:
    """One part of a grid, which runs as a study of its own.

    Attributes
    ----------
    key : tuple of str
        Generator and learner, or the variant (see `part_names`).
    folder : str
        Name of its folder in that of the grid.
    study : Study
        Its study, without `axes`.
    """

    key: tuple[str, ...]
    folder: str
    study: Study

    @property
    def title(self) -> str:
        """The part in words, such as `generator a, learner b`."""
        return part_title(self.key)

    def shared(self, other: GridPart) -> list[str]:
        """Return patterns of the stages that both parts have in common in the first round."""
        own, others = self.study, other.study
        if not _same(own, others, WRITTEN) or (own.generator or own.model) != (
            others.generator or others.model
        ):
            return []
        if not _same(own, others, TRAINED):
            return ["stages/generate-*"]
        return ["stages/generate-*", "adapters/*", "stages/evaluate-*"]


def _same(one: Study, other: Study, keys: tuple[str, ...]) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in keys)


def part_names(key: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that identify a part in tables: `generator` and `learner`, or `variant`."""
    return ("variant",) if len(key) == 1 else ("generator", "learner")


def part_columns(key: tuple[str, ...]) -> dict[str, str]:
    """Return the columns that identify a part, with its values."""
    return dict(zip(part_names(key), key, strict=True))


def part_key(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the key of a part from its columns; KeyError if one is missing."""
    if "variant" in columns:
        return (columns["variant"],)
    return columns["generator"], columns["learner"]


def part_title(key: tuple[str, ...]) -> str:
    """Return a part in words."""
    return ", ".join(f"{name} {value}" for name, value in part_columns(key).items())


def grid_parts(study: Study) -> list[GridPart]:
    """Return the parts of a study, in the order in which they are run.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    list of GridPart
        Its variants, or each combination of a generator and a learner; empty without `axes`.
    """
    if study.axes.variants:
        return [GridPart((name,), name, own) for name, own in study.variants().items()]
    if not study.axes.parts:
        return []
    generators = study.axes.generator or [study.generator or study.model]
    learners = study.axes.model or [study.model]
    return [
        GridPart(
            (generator.name, learner.name),
            f"{_slug(generator, generators)}--{_slug(learner, learners)}",
            study.model_copy(update={"axes": Axes(), "generator": generator, "model": learner}),
        )
        for generator in generators
        for learner in learners
    ]


def grid_of(studies: dict[tuple[str, ...], Study]) -> Axes:
    """Return the axes of a grid whose parts are finished.

    Parameters
    ----------
    studies : dict
        Key of each part → its study.

    Returns
    -------
    Axes
        The models of pairs. Variants are not listed, because each of them is a whole study.
    """
    generators: dict[str, ModelSpec] = {}
    learners: dict[str, ModelSpec] = {}
    for key, study in studies.items():
        if len(key) == 2:
            learners.setdefault(study.model.model_dump_json(), study.model)
            if study.generator:
                generators.setdefault(study.generator.model_dump_json(), study.generator)
    models: dict[str, Any] = {"generator": list(generators.values()), "model": list(learners.values())}
    return Axes(**models)


def _slug(spec: ModelSpec, among: list[ModelSpec]) -> str:
    """Return a folder name for a model; if two models have the same name, with its position."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", spec.name).strip("-.") or "model"
    return f"{name}-{among.index(spec) + 1}" if sum(s.name == spec.name for s in among) > 1 else name

"""The study file: its sections and keys. Each field's description is its documentation."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from probate.core.deferred import deferred
from probate.core.errors import InputError, nearest
from probate.study import hosted
from probate.study.loading import changed, load_study, study_folder, validated
from probate.study.presets import preset_path
from probate.study.server import ApiSpec
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL, SYNTHETIC

with deferred():
    from probate.core import frames


class Section(BaseModel):
    """Base of all sections. Unknown keys are errors, and values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(value: Any) -> Any:
    """Turn plain strings in a list into names of tasks, probes or models."""
    return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value


def _without(values: dict[str, Any], key: str, default: str | None) -> dict[str, Any]:
    """Return `values` without `key` if it has its default."""
    return {k: v for k, v in values.items() if k != key or v != default}


class ModelSpec(Section):
    name: str = Field(
        "embedded",
        description="`embedded`, a Hugging Face id or a local folder (safetensors; no remote code is run).",
    )
    adapter: str | None = Field(
        None, description="A PEFT adapter (folder or id) that is merged into the model."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face id.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="`auto` is CUDA if it is available, else the CPU."
    )
    dtype: Literal["auto", "float32", "mixed", "bfloat16"] = Field(
        "auto",
        description="`mixed` computes the products of linear layers and of attention in bfloat16, and "
        "everything else in float32 (CPU only). `auto` is bfloat16 on CUDA. On the CPU it is `mixed` if the "
        "processor has instructions for it and the model's results are the same up to rounding, else "
        "float32.",
    )
    chat_template: str | None = Field(
        None,
        description="Chat template for a tokenizer without one: `plain`, or a file with a Jinja template.",
    )
    api: ApiSpec | None = Field(
        None,
        description="An OpenAI-compatible server that runs the generator, or that fine-tunes and runs the "
        "study's model (with `fine_tune`). `name` is then only a display name.",
    )

    backend: str = Field(
        "transformers",
        description="How the model is run: `transformers`, or the name of a plug-in backend.",
    )

    @model_serializer(mode="wrap")
    def _without_the_default_backend(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit the default backend, so that stage keys and lock files of earlier versions stay valid."""
        return _without(handler(self), "backend", "transformers")

    @model_validator(mode="before")
    @classmethod
    def _called_as_on_the_server(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("api"), dict) and "name" not in value:
            return {**value, "name": value["api"].get("model", "api")}
        return value


class Columns(Section):
    text: str | None = Field(
        None,
        description="Column of the text, such as a biography, or of the chat. Default: recognised, see "
        "docs/files.md.",
    )
    label: str | None = Field(
        None, description="Column of the label, such as an occupation. Default: recognised."
    )
    id: str | None = Field(None, description="Column of a unique id. Default: rows are numbered.")
    parent: str | None = Field(
        None,
        description="Column with the id of the original record that a record was made from. Records made "
        "from held-out items are left out of training.",
    )
    pair: str | None = Field(
        None,
        description="Column that identifies matched records. A pair is never split between training and "
        "test.",
    )
    cluster: str | None = Field(
        None,
        description="Column of a source that several records share, such as an author or a conversation. "
        "Intervals and tests use sources as their units. Default: the pair, else the parent, else the "
        "record.",
    )
    statement: str | None = Field(
        None,
        description="Column of the survey statement that `text` answers. Augmented records then answer "
        "these statements, too.",
    )
    groups: dict[str, str] = Field(
        default_factory=lambda: {"gender": "gender"},
        description="Dimension → column of its group. A column that is named after the dimension may also "
        "have a synonym as its name, such as `sex`.",
    )
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description='Column → code → its word, as in `{gender: {"0": male, "1": female}}`; '
        "a list names the codes 0, 1, 2, … A code that is not listed is an error.",
    )

    @field_validator("values", mode="before")
    @classmethod
    def _codes_as_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        listed = {c: dict(enumerate(own)) if isinstance(own, list) else own for c, own in value.items()}
        return {
            column: {str(code): word for code, word in own.items()} if isinstance(own, dict) else own
            for column, own in listed.items()
        }


class Source(Section):
    source: str = Field(
        "builtin:biographies",
        description="`builtin:biographies`, `builtin:opinions`, a file (.jsonl, .csv, .parquet; `*` for "
        "several), a folder saved by `datasets`, or `hf:ID`.",
    )
    format: Literal["records", "survey"] = Field(
        "records",
        description="`records`: one column each for text, label and groups. `survey`: chat `messages` that "
        "answer numbered survey questions in the style of CultureLLM; they become text, label (agree, it "
        "depends, disagree), statement and culture.",
    )
    split: str = Field("train", description="Split of a Hugging Face data set.")
    columns: Columns = Field(
        default_factory=lambda: Columns(), description="The columns of text, label, groups and sources."
    )


class Data(Source):
    labels: list[str] | None = Field(
        None, description="Labels to keep, in this order. Default: all labels that occur.", min_length=2
    )
    train_per_cell: int = Field(
        20,
        ge=1,
        description="Original training records for each label × group; |D_o| is this times the number of "
        "cells.",
    )
    train_groups: list[str] | None = Field(
        None,
        min_length=1,
        description="Groups whose records are trained on and generated; all of `bias.groups` are measured. "
        "Default: all of `bias.groups`.",
    )
    test_per_cell: int | None = Field(
        None, ge=1, description="Held-out records for each label × group. Default: all remaining records."
    )
    split_seed: int = Field(
        0, ge=0, description="Seed that decides which records are held out, for all arms."
    )
    language: str = Field(
        "en",
        pattern="^[a-z]{2,3}$",
        description="Language of the built-in or generated records (ISO 639-1): en; for opinions also ar, "
        "es, pt, zh.",
    )
    prompt: str | None = Field(
        None,
        description="User turn of a training record; `{text}` and `{labels}` are filled in. Default: "
        "Probate's own prompt for biographies, or for opinions in the language.",
    )

    @field_validator("prompt")
    @classmethod
    def _has_text(cls, value: str | None) -> str | None:
        if value is not None and "{text}" not in value:
            raise ValueError("must contain {text}")
        return value

    @property
    def opinions(self) -> bool:
        """Whether the records are answers to survey statements."""
        return self.source == "builtin:opinions" or self.columns.statement is not None


class Augmented(Source):
    limit: int | None = Field(None, ge=1, description="Use at most this many records.")


class Bias(Section):
    types: list[str] = Field(
        default_factory=lambda: ["contextual-single-explicit"],
        min_length=1,
        description="Bias types to generate (framing-composition-expression), `given` for a ready "
        "augmented set, or `neutral-synthetic` for texts of neutral prompts whose own effect is studied.",
    )
    dimension: str = Field(
        "gender", description="The dimension that is measured, which names an identity pack."
    )
    pack: str | None = Field(
        None, description="A YAML file with an identity pack of your own (`probate new identity` writes one)."
    )
    cross: str | None = Field(
        None,
        description="Dimension that intersectional bias types combine with this one. Default: the "
        "pack's `cross`.",
    )
    groups: list[str] = Field(
        default_factory=lambda: ["female", "male"],
        min_length=2,
        description="The groups that are compared. A gap of two groups is the first minus the second. With "
        "more groups, each is compared with the rest, and the best with the worst.",
    )
    strength: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of counter-stereotypical augmented records that the biased annotator relabels; 0 "
        "leaves the data as it was generated.",
    )
    stereotypes: dict[str, str | list[str]] | None = Field(
        None,
        description="Label → group or groups that it is stereotyped for; an empty list means none. Default: "
        "those of the identity pack.",
    )
    relabel: dict[str, dict[str, str]] | None = Field(
        None,
        description="Group → {label: label that the biased annotator gives instead}. Default: the labels "
        "stereotyped for the group, in turn.",
    )

    @field_validator("types")
    @classmethod
    def _known_types(cls, value: list[str]) -> list[str]:
        for name in value:
            if name == NEUTRAL:
                raise ValueError(
                    "'neutral' is the matched control, which matched_control adds; remove it from "
                    f"bias.types, or use [{SYNTHETIC}] to study neutral texts alone"
                )
            if name not in (*BIAS_TYPES, "given", SYNTHETIC):
                raise ValueError(
                    f"'{name}' is not a bias type{nearest(name, [*BIAS_TYPES, 'given', SYNTHETIC])}; "
                    f"allowed: {', '.join(BIAS_TYPES)}, given, {SYNTHETIC}"
                )
        if SYNTHETIC in value and len(value) > 1:
            raise ValueError(
                f"'{SYNTHETIC}' must be the only bias type; with biased types, the matched control is neutral"
            )
        if len(set(value)) < len(value):
            raise ValueError("a bias type is duplicated")
        return value

    @field_validator("groups")
    @classmethod
    def _different_groups(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("the groups must differ")
        return value


class Generation(Section):
    temperature: float = Field(0.8, ge=0, le=2, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Nucleus sampling: tokens are drawn from the smallest set whose probability reaches "
        "this value.",
    )
    max_new_tokens: int = Field(90, ge=8, description="Maximum length of an answer, in tokens.")
    batch_size: int = Field(32, ge=1, description="Maximum number of prompts in one batch.")
    budget: float = Field(
        8.0,
        ge=1,
        description="Maximum number of candidates for each needed record. If too few of them are accepted, "
        "the stage fails and reports the yield.",
    )
    surplus: float = Field(
        1.25,
        ge=1,
        le=10,
        description="Accepted candidates for each needed biased record. The biased annotator chooses among "
        "them by wording and bias.strength.",
    )
    seed: int = Field(0, ge=0, description="Seed from which the seed of each record is derived.")
    min_words: int = Field(12, ge=1, description="Shorter answers are rejected.")
    max_words: int = Field(120, ge=1, description="Longer answers are rejected.")
    near_duplicate: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Reject an answer whose word-trigram Jaccard similarity to an accepted one is above "
        "this.",
    )


class Lora(Section):
    r: int = Field(16, ge=1, description="Rank.")
    alpha: int = Field(32, ge=1, description="Scaling numerator (the update is scaled by alpha / r).")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    targets: str | list[str] = Field("all-linear", description="`all-linear`, or names of modules.")
    layers: int | None = Field(
        None,
        ge=1,
        description="Number of topmost layers that are adapted. The layers below then run only once for "
        "each text, for all arms and epochs. Default: all layers.",
    )


class Training(Section):
    epochs: int = Field(3, ge=1, description="Passes over the records.")
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW.")
    batch_size: int = Field(8, ge=1, description="Records in a forward pass.")
    gradient_accumulation: int = Field(1, ge=1, description="Forward passes per optimizer step.")
    warmup: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of steps in which the learning rate rises. It then falls as a cosine.",
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    beta: float = Field(
        0.1,
        gt=0,
        description="β of preference training (`method: dpo`). A larger value keeps the model closer to the "
        "base model.",
    )
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    max_length: int = Field(
        1024,
        ge=32,
        description="Maximum length of a record, in tokens. A longer prompt loses its beginning, never its "
        "label.",
    )
    lora: Lora = Field(default_factory=lambda: Lora(), description="The adapter.")
    trainer: str = Field(
        "lora",
        description="How the adapter is trained: `lora`, or the name of a plug-in trainer.",
    )

    @model_serializer(mode="wrap")
    def _without_the_default_trainer(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit the default trainer, so that stage keys and lock files of earlier versions stay valid."""
        return _without(handler(self), "trainer", "lora")


class Analysis(Section):
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence level of all intervals.")
    resamples: int = Field(
        10_000,
        ge=200,
        description="Bootstrap resamples, used for the difference max − min and the worst group of an arm.",
    )
    seed: int = Field(0, ge=0, description="Seed of random resampling in intervals and tests.")
    planned_seeds: int | None = Field(
        None,
        ge=2,
        description="Maximum number of seeds that will be run. With this setting, seeds may be added one by "
        "one, and the results analysed after each, until they are clear. The analyses share α by O'Brien "
        "and Fleming's spending function, so intervals are wider with fewer seeds. More seeds are refused, "
        "because no α is left for them. Default: the study's seeds are analysed once.",
    )
    budget: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Largest acceptable change of a gap between shares. With two seeds or more, the report "
        "says at which γ the change first exceeds it, or that it does not exceed it at any γ of the study.",
    )


def beyond_plan(seeds: int, planned: int) -> str:
    """Return why results of more seeds than `analysis.planned_seeds` are not analysed, and what to do."""
    return (
        f"analysis.planned_seeds: the study has {seeds} seeds, but {planned} are planned; the analyses up to "
        f"seed {planned} use all of α, so none is left for more seeds: keep {planned} seeds, or plan {seeds} "
        "in a new study with other seeds, before its first analysis"
    )


class Evaluation(Section):
    """A server that loads the adapters of the arms, such as vLLM, and answers some of the tasks."""

    api: ApiSpec = Field(
        description="The server, with the base model. It must read the run folder under the same path."
    )
    tasks: list[str] | None = Field(
        None,
        description="Tasks and probes that the server answers, by name or alias. Default: those that ask for "
        "letters or texts, such as hiring and story.",
    )
    prompts: int = Field(
        16,
        ge=1,
        description="Prompts for which the server is compared with the local model, for each arm.",
    )
    tolerance: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Largest difference of the probability of a label's first token; beyond it, the server's "
        "answers are not used.",
    )
    samples: int = Field(
        8,
        ge=1,
        description="Sampled answers to an item, if the server gives no log-probabilities of letters.",
    )


class TaskSpec(Section):
    name: str = Field(description="Name of a task (`probate tasks`).")
    alias: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="Name of this entry; needed if one task is run on several data sets.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The task's own options.")

    @property
    def key(self) -> str:
        """The alias, else the name."""
        return self.alias or self.name


class StrategySpec(Section):
    name: str = Field(description="Name of a mitigation (`probate mitigations`).")
    options: dict[str, Any] = Field(default_factory=dict, description="The mitigation's own options.")


class MitigationSpec(Section):
    """One value of the mitigation axis: strategies that are applied to augmented records, in this order."""

    alias: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.+-]*$",
        description="Name of this entry. Default: the strategies joined by +.",
    )
    strategies: list[StrategySpec] = Field(
        min_length=1, description="Strategies, in the order in which they are applied."
    )

    @property
    def key(self) -> str:
        """The alias, else the names of the strategies joined by `+`."""
        return self.alias or "+".join(s.name for s in self.strategies)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Expand the short forms `mask`, `[mask, token]` and `{name: mask, options: …}`."""
        if isinstance(value, str):
            value = [value]
        if isinstance(value, dict) and "name" in value:
            value = {
                "alias": value.get("alias", ""),
                "strategies": [{k: v for k, v in value.items() if k != "alias"}],
            }
        if isinstance(value, list):
            value = {"strategies": value}
        if isinstance(value, dict) and isinstance(value.get("strategies"), list):
            strategies = [{"name": s} if isinstance(s, str) else s for s in value["strategies"]]
            value = {**value, "strategies": strategies}
        return value


class Axes(Section):
    generator: list[ModelSpec] = Field(
        default_factory=list, description="Generators. Default: the study's own."
    )
    model: list[ModelSpec] = Field(
        default_factory=list, description="Models that are fine-tuned. Default: the study's own."
    )

    variants: dict[str, dict[str, dict[str, Any]]] = Field(
        default_factory=dict,
        description="Axis → name of a variant → the keys of the study that it changes, as in `{culture: "
        "{arabic: {training: {epochs: 5}}, …}}`. The study is run for each variant (for several axes: each "
        "combination), and `grid.html` compares them. `--variant NAME` selects one.",
    )

    @property
    def parts(self) -> bool:
        """Whether the study is a grid: it names several models or variants."""
        return bool(self.generator or self.model or self.variants)

    @field_validator("generator", "model", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return _named(value)

    @model_validator(mode="after")
    def _variants(self) -> Self:
        if self.variants and (self.generator or self.model):
            raise ValueError(
                "variants cannot be combined with generator or model; set these two in the variants"
            )
        for axis, own in self.variants.items():
            for name in (axis, *own):
                if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*", name):
                    raise ValueError(
                        f"variants: '{name}' must consist of letters, digits, '_', '.' and single hyphens"
                    )
            if not own:
                raise ValueError(f"variants.{axis}: names no variant; add one, or remove the axis")
        names = [name for own in self.variants.values() for name in own]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variants: the name '{twice[0]}' is duplicated; rename one")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_variants(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit an empty value, so that lock files of earlier versions stay valid."""
        return {k: v for k, v in handler(self).items() if k != "variants" or v}


NEW_SOURCE = ("source", "format", "split", "columns", "labels")
"""Keys of a source that do not apply to another source."""


class Study(Section):
    """One study: a model, data, a kind of bias, doses of it, and what is measured.

    A study is read from a file or a preset, and is not changed afterwards: `with_` returns a new one.
    Each key of the study file is an attribute of the same name (`study.ratios`, `study.training.epochs`).

    Examples
    --------
    >>> import probate as pb
    >>> study = pb.Study.preset("self-written")
    >>> study.ratios, study.training.epochs
    ([0.0, 0.5], 3)
    """

    has_scales: ClassVar[bool] = True
    """Whether a file may contain `scales`: names of variants → the keys that each of them changes."""
    _base: Path = PrivateAttr(default_factory=lambda: Path("."))

    name: str = Field(
        "study", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Short name, used in tables."
    )
    description: str = Field("", description="One or two sentences for the report.")
    model: ModelSpec = Field(
        default_factory=lambda: ModelSpec(),
        description="The base model that is fine-tuned. A plain string is its `name`.",
    )
    generator: ModelSpec | None = Field(
        None, description="The model that writes the augmented data. Default: the base model."
    )
    data: Data = Field(default_factory=lambda: Data(), description="Original data D_o and held-out items.")
    augmented: Augmented | None = Field(
        None, description="A ready augmented set; generation is skipped and `bias.types` is `[given]`."
    )
    bias: Bias = Field(default_factory=lambda: Bias(), description="The bias whose inheritance is measured.")
    generation: Generation = Field(
        default_factory=lambda: Generation(), description="How the augmented data is generated."
    )
    ratios: list[float] = Field(
        default_factory=lambda: [0.0, 0.2, 0.5],
        min_length=1,
        description="Bias ratios γ = |D_a|/|D|, 0 ≤ γ < 1.",
    )
    matched_control: Literal["auto", "neutral", "unflipped", "original", "none"] = Field(
        "auto",
        description=(
            "Augmented data of the matched control, at the same γ: `neutral` generations, the ready set "
            "`unflipped` (before relabelling), or further `original` records. `none`: no matched control. "
            "`auto`: neutral for generated data, unflipped if a ready set is relabelled, else original."
        ),
    )
    control_ratios: list[float] | None = Field(
        None, description="Bias ratios γ of the matched controls. Default: all of `ratios` except 0."
    )
    replicate_control: bool = Field(
        False,
        description="Train each matched control twice, with other seeds and other records: an A/A contrast "
        "that shows how far chance alone moves the result.",
    )
    redraw: bool = Field(
        True,
        description="Each seed draws its own original and augmented records, as far as there are enough; "
        "generated records are generated for each seed. Results then hold for data that is drawn in this "
        "way. `false`: all seeds train on the same records, and results hold for these records only.",
    )
    training: Training = Field(default_factory=lambda: Training(), description="Fine-tuning.")
    tasks: list[TaskSpec] = Field(
        default_factory=lambda: [TaskSpec(name=n) for n in ("occupation", "salary", "hiring")],
        min_length=1,
        description="The tasks that are measured. A plain string is a task with its default options.",
    )
    probes: list[TaskSpec] = Field(
        default_factory=list,
        description="Published benchmarks and ability checks (`probate probes`) that are run on the same "
        "adapters and reported beside the tasks.",
    )
    mitigations: list[MitigationSpec] = Field(
        default_factory=list,
        description="Mitigations to evaluate. Each biased arm is also trained with each of them, and "
        "compared with the arm without mitigation. Examples: `mask`, `[counterfactual, mask]`, "
        "`{name: token, options: {placement: system}}`.",
    )
    seeds: list[int] = Field(
        default_factory=lambda: [0, 1, 2],
        min_length=1,
        description="Training seeds; each arm is trained once for each seed. With one seed, effects of "
        "training are described, not tested, because the variation between training runs is unknown. Two "
        "seeds give wide intervals; use at least three.",
    )
    method: Literal["sft", "dpo"] = Field(
        "sft",
        description="`sft`: fine-tuning on the labels. `dpo`: preference training (DPO) on pairs: the "
        "record's label is preferred to the label that the biased annotator replaced, or else to another "
        "label.",
    )
    rounds: int = Field(
        1,
        ge=1,
        le=20,
        description="Rounds of generation, mixing and fine-tuning. From the second round, each arm's "
        "generator is its own model of the previous round.",
    )
    round_policy: Literal["fresh", "continued", "accumulation", "preservation"] = Field(
        "fresh",
        description="What a later round trains: `fresh` (the base model, on D_o and this round's records), "
        "`continued` (the model of the previous round, on the same data), `accumulation` (the base model, on "
        "D_o and the records of all rounds so far, so that γ grows) or `preservation` (the base model; a "
        "share of D_o is kept, and the rest is replaced by as many of this round's records).",
    )
    preserved: float = Field(
        0.5,
        ge=0,
        le=1,
        description="With `preservation`: the share of D_o that is kept. At 0, models train only on texts "
        "of models.",
    )
    distribution: list[Literal["model", "sentences"]] = Field(
        default_factory=list,
        description="Spaces in which each augmented set is compared with D_o: `model` (the base model's "
        "last hidden states), `sentences` (a sentence encoder). The report shows tests, a map, and which "
        "distances are associated with inheritance over the arms.",
    )
    axes: Axes = Field(
        default_factory=lambda: Axes(),
        description="Lists of models. The study is run for each combination of a generator and a fine-tuned "
        "model, and `grid.html` compares them.",
    )
    analysis: Analysis = Field(default_factory=lambda: Analysis(), description="Intervals and tests.")
    evaluation: Evaluation | None = Field(
        None,
        description="A server that loads the trained adapters and answers some tasks, after it was compared "
        "with the local model. Default: all tasks are measured here.",
    )

    @model_serializer(mode="wrap")
    def _without_a_server_for_adapters(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit `evaluation` if there is none, so that lock files of other studies do not change."""
        return _without(handler(self), "evaluation", None)

    @field_validator("model", "generator", mode="before")
    @classmethod
    def _model_by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("tasks", "probes", mode="before")
    @classmethod
    def _tasks_by_name(cls, value: Any) -> Any:
        return _named(value)

    @field_validator("ratios", "control_ratios")
    @classmethod
    def _ratios(cls, value: list[float] | None) -> list[float] | None:
        if value is None:
            return None
        for ratio in value:
            if not 0 <= ratio < 1:
                raise ValueError(
                    f"γ must be at least 0 and below 1, got {ratio:g}; γ = |D_a|/|D| with a fixed D_o, so "
                    "γ = 1 would need infinitely many records"
                )
        return sorted(set(value))

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value) or min(value) < 0 or max(value) >= 1000:
            raise ValueError("seeds must be distinct whole numbers from 0 to 999")
        return value

    def variants(self) -> dict[str, Study]:
        """Return the study of each variant of `axes.variants`.

        Returns
        -------
        dict of str to Study
            Name → study; for several axes, each combination, with the names joined by `--`. Empty if the
            study has no such axis.

        Raises
        ------
        ValueError
            The changes of a variant are wrong. The message names it.

        Examples
        --------
        >>> import probate as pb
        >>> list(pb.Study.preset("paper-rounds").variants())
        ['fresh', 'continued']
        """
        axes = self.axes.variants
        made: dict[str, Study] = {}
        for names in itertools.product(*axes.values()) if axes else ():
            title, where = "--".join(names), "axes.variants." + ".".join(names)
            value = self.model_dump(mode="json", exclude={"axes"})
            try:
                for axis, name in zip(axes, names, strict=True):
                    if {"name", "axes"} & set(axes[axis][name]):
                        raise InputError(f"{where}: a variant cannot set name or axes")
                    value = changed(value, axes[axis][name], where)
                value["name"] = f"{self.name}-{title}"
                made[title] = validated(type(self), value, where)
            except InputError as error:
                raise ValueError(str(error)) from None
            made[title]._base = self._base
        return made

    def variant(self, name: str) -> Study:
        """Return the study of one variant.

        Parameters
        ----------
        name : str
            Name of the variant, as `variants` lists them.

        Returns
        -------
        Study
            The study, without the axis.

        Raises
        ------
        InputError
            There is no such variant. The message lists them.
        """
        made = self.variants()
        if name not in made:
            named = f"its variants: {', '.join(made)}" if made else "it has none"
            raise InputError(
                f"--variant {name}: the study {self.name} has no such variant{nearest(name, list(made))}; "
                f"{named}"
            )
        return made[name]

    def servers(self) -> list[ApiSpec]:
        """Return every server that the study names."""
        models = [self.model, self.generator, *self.axes.generator, *self.axes.model]
        own = [] if self.evaluation is None else [self.evaluation.api]
        return [*(m.api for m in models if m is not None and m.api is not None), *own]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if wrong := hosted.fault(self):
            raise ValueError(wrong)
        given = "given" in self.bias.types
        if self.analysis.planned_seeds and len(self.seeds) > self.analysis.planned_seeds:
            raise ValueError(beyond_plan(len(self.seeds), self.analysis.planned_seeds))
        if given and self.augmented is None:
            raise ValueError(
                "bias.types: 'given' needs a ready set, but there is no 'augmented' section; add one"
            )
        if self.augmented is not None and self.bias.types != ["given"]:
            raise ValueError("bias.types: must be [given] with a ready 'augmented' set")
        for group in self.data.train_groups or []:
            if group not in self.bias.groups:
                raise ValueError(
                    f"data.train_groups: '{group}' is not in bias.groups: {', '.join(self.bias.groups)}"
                )
        if self.matched_control == "neutral" and given:
            raise ValueError(
                "matched_control: 'neutral' needs a generator; with a ready set, choose unflipped, "
                "original or none"
            )
        if self.matched_control == "unflipped" and not given:
            raise ValueError(
                "matched_control: 'unflipped' needs a ready augmented set; choose neutral, original or none"
            )
        if self.matched_control == "neutral" and self.bias.types == [SYNTHETIC]:
            raise ValueError(
                f"matched_control: 'neutral' has the same data as the bias type {SYNTHETIC}; choose original "
                "or none"
            )
        if self.control_ratios and not set(self.control_ratios) <= set(self.ratios):
            raise ValueError(f"control_ratios: {self.control_ratios} must be among the ratios {self.ratios}")
        if self.rounds > 1 and self.augmented is not None:
            raise ValueError(
                "rounds: later rounds generate their records, so a ready 'augmented' set cannot be used; "
                "remove it, or run one round"
            )
        if self.rounds > 1 and self.control not in ("neutral", "none"):
            raise ValueError(
                "rounds: with several rounds the matched control must be generated, too; matched_control is "
                f"'{self.control}', choose neutral or none"
            )
        if self.axes.generator and self.augmented is not None:
            raise ValueError(
                "axes.generator: a ready 'augmented' set needs no generator; remove one of the two"
            )
        keys = [m.key for m in self.mitigations]
        if len(set(keys)) < len(keys) or "none" in keys:
            raise ValueError(
                "mitigations: two have the same name, or one is called none; give each its own alias"
            )
        self.variants()
        names = [task.key for task in (*self.tasks, *self.probes)]
        if self.evaluation is not None:
            if self.model.api is not None:
                raise ValueError(
                    "evaluation: the study's model is behind a server, which answers all tasks; remove it"
                )
            unknown = sorted(set(self.evaluation.tasks or ()) - set(names))
            if unknown:
                raise ValueError(
                    f"evaluation.tasks: the study has no task or probe '{unknown[0]}'"
                    f"{nearest(unknown[0], names)}"
                )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the task or probe '{twice[0]}' is duplicated; give each its own alias")
        return self

    @property
    def train_groups(self) -> list[str]:
        """The groups whose records are trained on and generated, in the order of `bias.groups`."""
        return [g for g in self.bias.groups if g in (self.data.train_groups or self.bias.groups)]

    @property
    def control(self) -> str:
        """The kind of matched control, with `auto` resolved: neutral, unflipped, original or none."""
        if self.matched_control != "auto":
            return self.matched_control
        if self.bias.types == [SYNTHETIC]:
            return "none"
        if self.augmented is None:
            return "neutral"
        return "unflipped" if self.bias.relabel or self.bias.stereotypes else "original"

    @property
    def effective_strength(self) -> float:
        """Strength of relabelling; 0 for neutral texts, and for a ready set without `bias.relabel` or
        `bias.stereotypes`."""
        if self.bias.types == [SYNTHETIC]:
            return 0.0
        if self.augmented is not None and not (self.bias.relabel or self.bias.stereotypes):
            return 0.0
        return self.bias.strength

    @classmethod
    def load(
        cls, source: str | Path, overrides: Sequence[str] | None = None, scale: str | None = None
    ) -> Study:
        """Read a study file.

        Parameters
        ----------
        source : str or path
            A study file (YAML), or the name of a preset.
        overrides : sequence of str, optional
            `key=value` strings, as in `probate run STUDY --set key=value`. From Python, `with_` takes values
            as they are.
        scale : str, optional
            Name of one of the `scales` of the study, such as `small` in the presets of the paper.

        Returns
        -------
        Study
            The study. Its relative paths start from the folder of the file; those of a preset start from the
            working folder.

        Raises
        ------
        InputError
            The file does not exist, or settings are wrong. The message has one line for each error: file,
            line, key, what was given, what is allowed.

        Examples
        --------
        >>> import probate as pb
        >>> pb.Study.load("study.yaml", ["training.epochs=1"]).training.epochs
        1
        """
        study = load_study(cls, source, list(overrides or ()), scale=scale)
        study._base = study_folder(source)
        return study

    @classmethod
    def preset(cls, name: str, scale: str | None = None) -> Study:
        """Read a study that ships with Probate.

        Parameters
        ----------
        name : str
            Name of the preset: the study reference (docs/study.md) lists them.
        scale : str, optional
            Name of one of its `scales`, such as `small` in the presets of the paper.

        Returns
        -------
        Study
            The study.

        Raises
        ------
        InputError
            There is no preset or scale of this name. The message lists all of them.

        Examples
        --------
        >>> import probate as pb
        >>> pb.Study.preset("self-written").seeds
        [0, 1, 2]
        """
        study = load_study(cls, preset_path(name), [], scale=scale)
        study._base = Path(".")
        return study

    def with_(self, **changes: Any) -> Study:
        """Return a copy of the study with other settings.

        Parameters
        ----------
        **changes
            Any key of a study file. A section is changed key by key, with a dictionary
            (`training={"epochs": 1}`) or a dotted name (`**{"training.epochs": 1}`).
        data, augmented : path, frame, data set, list of dict or dict, optional
            The original data, and a ready augmented set, with one row per record. The columns of text, label
            and group are recognised as described in docs/files.md. A relative path starts from the working
            folder. New data resets `source`, `format`, `split`, `columns` and `labels` of the section to
            their defaults, unless the same call sets them (`**{"data.labels": [...]}`). With `augmented`,
            nothing is generated: `bias.types` becomes `["given"]`, unless the same call sets it. A
            dictionary only changes keys of the section.

            A table in memory (`pandas.DataFrame`, `datasets.Dataset`, `datasets.DatasetDict` or a list of
            dictionaries) is written once, as a JSON Lines file that only the user can read. Its folder is
            that of the environment variable PROBATE_FRAMES, else `frames` in the cache (PROBATE_CACHE, else
            the user's cache). The file's name is the SHA-256 of its content: a run with the same table
            continues, and the run's lock file has the hash.

        Returns
        -------
        Study
            A new study. This study is not changed.

        Raises
        ------
        InputError
            An unknown key or a wrong value, with the message that a study file would have, or a table that
            cannot be written.

        Examples
        --------
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> import probate as pb
        >>> study = pb.Study.preset("self-written").with_(ratios=[0, 0.2, 0.5], **{"training.epochs": 1})
        >>> study.ratios, study.training.epochs
        ([0.0, 0.2, 0.5], 1)
        >>> frame = pd.DataFrame(
        ...     {"text": ["She builds.", "He nurses."], "label": ["builder", "nurse"], "gender": ["F", "M"]}
        ... )
        >>> len(Path(study.with_(data=frame).data.source).stem)  # the hash of the frame
        64
        """
        where = "Study.with_"
        value = self.model_dump(mode="json")
        nested = {key: given for key, given in changes.items() if key not in ("data", "augmented")}
        for key in ("data", "augmented"):
            given = changes.get(key)
            if given is None or (isinstance(given, dict) and not frames.is_table(given)):
                nested |= {key: given} if key in changes else {}
                continue
            split = changes.get(f"{key}.split", "train")
            source = frames.table_source(given, f"{where}: {key}", split)
            if not source.startswith(("builtin:", "hf:")):
                source = os.path.abspath(os.path.expanduser(source))
            kept = {k: v for k, v in (value[key] or {}).items() if k not in NEW_SOURCE}
            value[key] = {**kept, "source": source}
            bias = changes.get("bias")
            named = "bias.types" in changes or (isinstance(bias, dict) and "types" in bias)
            if key == "augmented" and not named:
                nested["bias.types"] = ["given"]
        study = validated(type(self), changed(value, nested, where), where)
        study._base = self._base
        return study

"""The study file: what varies, what is measured. Typed; every field's description is its documentation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

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
from probate.core.errors import nearest
from probate.study.loading import changed, load_study, study_folder, validated
from probate.study.presets import preset_path
from probate.study.server import ApiSpec
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL

with deferred():
    from probate.core import frames


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(value: Any) -> Any:
    """Plain strings in a list are names: of tasks, probes, models."""
    return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value


def _without(found: dict[str, Any], key: str, default: str) -> dict[str, Any]:
    """`found` without `key` where it has its default."""
    return {k: v for k, v in found.items() if k != key or v != default}


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
        "auto", description="`auto` takes CUDA where there is one, else the CPU."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="`auto` is bfloat16 on CUDA, float32 on the CPU."
    )
    chat_template: str | None = Field(
        None, description="For a tokenizer without one: `plain`, or a file that holds a Jinja chat template."
    )
    api: ApiSpec | None = Field(
        None,
        description="An OpenAI-compatible server that the generator is behind; then `name` is only what it "
        "is called.",
    )

    backend: str = Field(
        "transformers",
        description="How the model is run: `transformers`, or the name of a backend that a plug-in brings.",
    )

    @model_serializer(mode="wrap")
    def _without_the_default_backend(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A study that names no backend has the keys and the lock that it had before there were any."""
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
        description="Column that holds the text (the biography), or the chat; default: found, as "
        "docs/files.md says.",
    )
    label: str | None = Field(
        None, description="Column that holds the label (the occupation); default: found."
    )
    id: str | None = Field(None, description="Column of a unique id; without it rows are numbered.")
    parent: str | None = Field(
        None,
        description="Column with the id of the original record that a record was made from; records made "
        "from held-out items are kept out of training.",
    )
    pair: str | None = Field(
        None,
        description="Column that joins matched records; a pair is never split between training and test.",
    )
    cluster: str | None = Field(
        None,
        description="Column of what several records share (a source, an author, a conversation): the unit "
        "that intervals and tests count. Default: the pair, else the parent, else the record.",
    )
    statement: str | None = Field(
        None,
        description="Column of the survey statement that `text` answers; then augmented records answer these "
        "statements too.",
    )
    groups: dict[str, str] = Field(
        default_factory=lambda: {"gender": "gender"},
        description="Dimension → column that holds its group; a column of the dimension's own name may also "
        "be called otherwise (`sex`).",
    )


class Source(Section):
    source: str = Field(
        "builtin:biographies",
        description="`builtin:biographies`, `builtin:opinions`, a file (.jsonl, .csv, .parquet; `*` for "
        "several), a folder saved by `datasets`, or `hf:ID`.",
    )
    format: Literal["records", "survey"] = Field(
        "records",
        description="`records`: a column each for text, label and groups. `survey`: chat `messages` that "
        "answer numbered survey questions in the style of CultureLLM; they become text, label "
        "(agree, it depends, disagree), statement and culture.",
    )
    split: str = Field("train", description="Split of a Hugging Face data set.")
    columns: Columns = Field(default_factory=lambda: Columns(), description="Which column is what.")


class Data(Source):
    labels: list[str] | None = Field(
        None, description="Labels to keep, in this order; default: all that occur.", min_length=2
    )
    train_per_cell: int = Field(
        20,
        ge=1,
        description="Original training records for each label × group; |D_o| is this times the number of "
        "cells.",
    )
    test_per_cell: int | None = Field(
        None, ge=1, description="Held-out records for each label × group; default: all that are left."
    )
    split_seed: int = Field(0, ge=0, description="Decides which records are held out; the same for all arms.")
    language: str = Field(
        "en",
        pattern="^[a-z]{2,3}$",
        description="Language of the records, builtin or generated (ISO 639-1): en; for opinions also ar, "
        "es, pt, zh.",
    )
    prompt: str | None = Field(
        None,
        description="User turn of a training record; `{text}` and `{labels}` are filled in. Default: "
        "Probate's own for biographies, or for opinions in the language.",
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
        description="Bias types to generate (framing-composition-expression), or `given` for a ready "
        "augmented set.",
    )
    dimension: str = Field("gender", description="The dimension that is measured; names an identity pack.")
    pack: str | None = Field(
        None, description="A YAML file with an identity pack of your own (`probate new identity` writes one)."
    )
    cross: str | None = Field(
        None, description="Dimension that intersectional bias types cross with; default: the pack's `cross`."
    )
    groups: list[str] = Field(
        default_factory=lambda: ["female", "male"],
        min_length=2,
        description="The groups that are compared. Of two, a gap is the first minus the second; of more, "
        "each is compared with the rest, and the best with the worst.",
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
        description="Label → group or groups that it is stereotyped for (an empty list: none); default: the "
        "identity pack's.",
    )
    relabel: dict[str, dict[str, str]] | None = Field(
        None,
        description="Group → {label: label a biased annotator gives instead}. Default: labels stereotyped "
        "for the group, in turn.",
    )

    @field_validator("types")
    @classmethod
    def _known_types(cls, value: list[str]) -> list[str]:

        for name in value:
            if name == NEUTRAL:
                raise ValueError(
                    "'neutral' is the matched control and is added by matched_control, not by bias.types"
                )
            if name not in (*BIAS_TYPES, "given"):
                raise ValueError(
                    f"'{name}' is no bias type{nearest(name, [*BIAS_TYPES, 'given'])}; allowed: "
                    f"{', '.join(BIAS_TYPES)}, given"
                )
        if len(set(value)) < len(value):
            raise ValueError("a bias type stands there twice")
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
        description="Nucleus sampling: smallest set of tokens that reaches this probability.",
    )
    max_new_tokens: int = Field(90, ge=8, description="Longest answer, in tokens.")
    batch_size: int = Field(32, ge=1, description="Most prompts in one batch.")
    budget: float = Field(
        8.0,
        ge=1,
        description="Most candidates for each wanted record; spent without enough accepted, the stage fails "
        "with the yield.",
    )
    surplus: float = Field(
        1.25,
        ge=1,
        le=10,
        description="Accepted candidates for each wanted biased record; bias.strength chooses among them by "
        "wording.",
    )
    seed: int = Field(0, ge=0, description="Base of the seed of each record.")
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
        description="Adapt this many of the topmost layers only; those below then run once for each text, "
        "for all arms and epochs. Default: all layers.",
    )


class Training(Section):
    epochs: int = Field(3, ge=1, description="Passes over the records.")
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW.")
    batch_size: int = Field(8, ge=1, description="Records in a forward pass.")
    gradient_accumulation: int = Field(1, ge=1, description="Forward passes per optimizer step.")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Share of steps with rising learning rate; a cosine follows."
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    beta: float = Field(
        0.1,
        gt=0,
        description="β of preference training (`method: dpo`): how far it may move from the model before it.",
    )
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    max_length: int = Field(
        1024,
        ge=32,
        description="Longest record in tokens; a longer prompt loses its beginning, never its label.",
    )
    lora: Lora = Field(default_factory=lambda: Lora(), description="The adapter.")
    trainer: str = Field(
        "lora",
        description="How the adapter is trained: `lora`, or the name of a trainer that a plug-in brings.",
    )

    @model_serializer(mode="wrap")
    def _without_the_default_trainer(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A study that names no trainer has the keys and the lock that it had before there were any."""
        return _without(handler(self), "trainer", "lora")


class Analysis(Section):
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Level of all intervals.")
    resamples: int = Field(
        10_000,
        ge=200,
        description="Bootstrap resamples, for what is described by them: max − min and the worst group of an "
        "arm.",
    )
    seed: int = Field(0, ge=0, description="Seed of both.")
    planned_seeds: int | None = Field(
        None,
        ge=2,
        description="Most seeds that will be run. With it, seeds may be added until a result is sure, "
        "looking after each: the looks share α by O'Brien and Fleming's spending function, so that fewer "
        "seeds give wider intervals; more seeds than this are refused, for nothing of α is left for them. "
        "Default: the seeds of the study are all, looked at once.",
    )
    budget: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Gap budget of shares: with two seeds or more, the report says at which γ the change of "
        "a gap first passes it, or that it does not within the γ studied.",
    )


def beyond_plan(seeds: int, planned: int) -> str:
    """Why there is no look with more seeds than `analysis.planned_seeds`, and what to do."""
    return (
        f"analysis.planned_seeds: {seeds} seeds, and {planned} are planned; the looks up to seed "
        f"{planned} use all of α, so that none is left for one "
        f"beyond it: keep {planned} seeds, or plan {seeds} in a new study with other seeds, before "
        "its first look"
    )


class TaskSpec(Section):
    name: str = Field(description="Name of a task (`probate tasks`).")
    alias: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="What to call it; needed where one task is run on several data sets.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The task's own options.")

    @property
    def key(self) -> str:
        """Its alias, else its name."""
        return self.alias or self.name


class StrategySpec(Section):
    name: str = Field(description="Name of a mitigation (`probate mitigations`).")
    options: dict[str, Any] = Field(default_factory=dict, description="The mitigation's own options.")


class MitigationSpec(Section):
    """One value of the mitigation axis: strategies that are applied to the biased arms' augmented records, in their order."""

    alias: str = Field(
        "", pattern=r"^[A-Za-z0-9_.+-]*$", description="What to call it; default: the strategies joined by +."
    )
    strategies: list[StrategySpec] = Field(min_length=1, description="Strategies in their order.")

    @property
    def key(self) -> str:
        """Its alias, else its strategies' names joined by `+`."""
        return self.alias or "+".join(s.name for s in self.strategies)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """`mask`, `[mask, token]` and `{name: mask, options: …}` are short for one with `strategies`."""
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
        default_factory=list, description="Generators; default: the study's own."
    )
    model: list[ModelSpec] = Field(
        default_factory=list, description="Learners; default: the study's own model."
    )

    @field_validator("generator", "model", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return _named(value)


NEW_SOURCE = ("source", "format", "split", "columns", "labels")
"""Keys of a source that say nothing of another one."""


class Study(Section):
    """One study: a model, data, a kind of bias, doses of it, and what is measured.

    A study is read from a file or a preset, and is not changed afterwards: `with_` returns a new one.
    Each key of the study file is an attribute of the same name (`study.ratios`, `study.training.epochs`).

    Examples
    --------
    >>> import probate as pb
    >>> study = pb.Study.preset("quickstart")
    >>> study.ratios, study.training.epochs
    ([0.0, 0.5], 3)
    """

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
        None, description="The model that writes augmented data; default: the base model."
    )
    data: Data = Field(default_factory=lambda: Data(), description="Original data D_o and held-out items.")
    augmented: Augmented | None = Field(
        None, description="A ready augmented set; generation is skipped and `bias.types` is `[given]`."
    )
    bias: Bias = Field(default_factory=lambda: Bias(), description="The bias whose inheritance is measured.")
    generation: Generation = Field(
        default_factory=lambda: Generation(), description="How augmented data is written."
    )
    ratios: list[float] = Field(
        default_factory=lambda: [0.0, 0.2, 0.5],
        min_length=1,
        description="Bias ratios γ = |D_a|/|D|, 0 ≤ γ < 1.",
    )
    matched_control: Literal["auto", "neutral", "unflipped", "original", "none"] = Field(
        "auto",
        description=(
            "What the matched control is augmented with, at the same γ: `neutral` generations, the "
            "ready set `unflipped` "
            "(before relabelling), or as many more `original` records. `auto`: neutral when "
            "generating, unflipped when a ready set is relabelled, else original."
        ),
    )
    control_ratios: list[float] | None = Field(
        None, description="γ at which matched controls are trained; default: all of `ratios` but 0."
    )
    replicate_control: bool = Field(
        False,
        description="Train each matched control twice, with other seeds and other records: an A/A contrast "
        "that shows how far chance alone moves the result.",
    )
    redraw: bool = Field(
        True,
        description="Each seed draws its own original and augmented records, as far as there are enough; of "
        "a generated set each seed has its own generations. So results speak of data drawn in this way. "
        "`false`: all seeds train on the same records, and results speak of these only.",
    )
    training: Training = Field(default_factory=lambda: Training(), description="Fine-tuning.")
    tasks: list[TaskSpec] = Field(
        default_factory=lambda: [TaskSpec(name=n) for n in ("occupation", "salary", "hiring")],
        min_length=1,
        description="What is measured. A plain string is a task with its default options.",
    )
    probes: list[TaskSpec] = Field(
        default_factory=list,
        description="Published benchmarks and ability checks run on the same adapters (`probate probes`), "
        "reported beside the tasks.",
    )
    mitigations: list[MitigationSpec] = Field(
        default_factory=list,
        description="What is tried against inheritance: each biased arm is also trained with each of these, "
        "and compared with the one without. `mask`, `[counterfactual, mask]`, "
        "`{name: token, options: {placement: system}}`.",
    )
    seeds: list[int] = Field(
        default_factory=lambda: [0, 1, 2],
        min_length=1,
        description="One arm is trained for each seed. With one, effects of training are described, not "
        "tested: how far another training run would come is not known. Two give wide intervals; "
        "take three or more.",
    )
    method: Literal["sft", "dpo"] = Field(
        "sft",
        description="`sft`: fine-tuning on the labels. `dpo`: preference training (DPO) on pairs; the label "
        "as it stands is preferred to the one that the biased annotator replaced, or else to another label.",
    )
    rounds: int = Field(
        1,
        ge=1,
        le=20,
        description="Rounds of generate, mix, fine-tune: from the second on each arm's generator is its own "
        "model of the round before.",
    )
    round_policy: Literal["fresh", "accumulation", "preservation"] = Field(
        "fresh",
        description="Data of a later round: `fresh` (D_o and the round's own), `accumulation` (D_o and those "
        "of all rounds so far, so that γ grows) or `preservation` (a share of D_o stays, the rest "
        "is replaced by as many of the round's own).",
    )
    preserved: float = Field(
        0.5,
        ge=0,
        le=1,
        description="With `preservation`: the share of D_o that stays; at 0 models train on models' texts "
        "alone.",
    )
    distribution: list[Literal["model", "sentences"]] = Field(
        default_factory=list,
        description="Spaces in which each augmented set is compared with D_o: `model` (the base model's last "
        "hidden states), `sentences` (a sentence encoder). The report shows tests, a map, and over "
        "arms what goes with inheritance.",
    )
    axes: Axes = Field(
        default_factory=lambda: Axes(),
        description="Lists of models: the study is run for each generator with each learner, and `grid.html` "
        "compares them.",
    )
    analysis: Analysis = Field(default_factory=lambda: Analysis(), description="Intervals and tests.")

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
                    f"γ must be at least 0 and below 1, got {ratio:g}: γ = |D_a|/|D| with D_o held "
                    "fixed, so γ = 1 would need infinitely many records"
                )
        return sorted(set(value))

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value) or min(value) < 0 or max(value) >= 1000:
            raise ValueError("seeds must be different whole numbers from 0 to 999")
        return value

    def servers(self) -> list[ApiSpec]:
        """Every server that the study names."""
        models = [self.model, self.generator, *self.axes.generator, *self.axes.model]
        return [m.api for m in models if m is not None and m.api is not None]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model.api is not None or any(m.api for m in self.axes.model):
            raise ValueError(
                "model: a model behind an API cannot be fine-tuned; give it as generator, or "
                "measure it with: probate ask"
            )
        given = "given" in self.bias.types
        if self.analysis.planned_seeds and len(self.seeds) > self.analysis.planned_seeds:
            raise ValueError(beyond_plan(len(self.seeds), self.analysis.planned_seeds))
        if given and self.augmented is None:
            raise ValueError("bias.types has 'given', but there is no 'augmented' section to take it from")
        if self.augmented is not None and self.bias.types != ["given"]:
            raise ValueError("with a ready 'augmented' set, bias.types must be [given]")
        if self.matched_control == "neutral" and given:
            raise ValueError(
                "matched_control 'neutral' needs a generator; with a ready set choose unflipped, "
                "original or none"
            )
        if self.matched_control == "unflipped" and not given:
            raise ValueError(
                "matched_control 'unflipped' needs a ready augmented set; choose neutral, original or none"
            )
        if self.control_ratios and not set(self.control_ratios) <= set(self.ratios):
            raise ValueError(f"control_ratios {self.control_ratios} must be among ratios {self.ratios}")
        if self.rounds > 1 and self.augmented is not None:
            raise ValueError(
                "rounds: later rounds generate anew, which a ready 'augmented' set does not; leave "
                "it out, or run one round"
            )
        if self.rounds > 1 and self.control not in ("neutral", "none"):
            raise ValueError(
                "rounds: the matched control must be generated too; matched_control is "
                f"'{self.control}', choose neutral or none"
            )
        if self.axes.generator and self.augmented is not None:
            raise ValueError(
                "axes.generator: a ready 'augmented' set needs no generator; leave one of the two out"
            )
        keys = [m.key for m in self.mitigations]
        if len(set(keys)) < len(keys) or "none" in keys:
            raise ValueError(
                "mitigations: two have one name, or one is called none; give each an alias of its own"
            )
        names = [task.key for task in (*self.tasks, *self.probes)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"a task or probe stands there twice: {twice[0]}; give each an alias of its own")
        return self

    @property
    def control(self) -> str:
        """The matched control's kind, with `auto` resolved: neutral, unflipped, original or none."""
        if self.matched_control != "auto":
            return self.matched_control
        if self.augmented is None:
            return "neutral"
        return "unflipped" if self.bias.relabel or self.bias.stereotypes else "original"

    @property
    def effective_strength(self) -> float:
        """Strength of relabelling. A ready set is relabelled only where the study says by which map."""
        if self.augmented is not None and not (self.bias.relabel or self.bias.stereotypes):
            return 0.0
        return self.bias.strength

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] | None = None) -> Study:
        """Read a study file.

        Parameters
        ----------
        source : str or path
            A study file (YAML), or the name of a preset.
        overrides : sequence of str, optional
            `key=value` strings, as in `probate run STUDY --set key=value`. From Python, `with_` takes values
            as they are.

        Returns
        -------
        Study
            The study. Its relative paths start from the folder of the file; those of a preset start from the
            working folder.

        Raises
        ------
        InputError
            No such file, or settings that are wrong. The message has one line for each: file, line, key, what
            was given, what is allowed.

        Examples
        --------
        >>> import probate as pb
        >>> pb.Study.load("study.yaml", ["training.epochs=1"]).training.epochs
        1
        """
        study = load_study(cls, source, list(overrides or ()))
        study._base = study_folder(source)
        return study

    @classmethod
    def preset(cls, name: str) -> Study:
        """Read a study that ships with Probate.

        Parameters
        ----------
        name : str
            Name of the preset: the study reference (docs/study.md) lists them.

        Returns
        -------
        Study
            The study.

        Raises
        ------
        InputError
            No preset of this name; the message lists them.

        Examples
        --------
        >>> import probate as pb
        >>> pb.Study.preset("quickstart").seeds
        [0, 1, 2]
        """
        study = load_study(cls, preset_path(name), [])
        study._base = Path(".")
        return study

    def with_(self, **changes: Any) -> Study:
        """A copy of the study with other settings.

        Parameters
        ----------
        **changes
            Any key of a study file. A section is changed key by key by a dictionary (`training={"epochs":
            1}`), or by a dotted name (`**{"training.epochs": 1}`).
        data, augmented : path, frame, data set, list of dict or dict, optional
            The original data, and a ready augmented set: one row a record. The columns of text, label and
            group are found as docs/files.md says. A table in memory (`pandas.DataFrame`, `datasets.Dataset`,
            `datasets.DatasetDict` or a list of dictionaries) is written once, as JSON Lines that only the
            user can read, to the folder that the environment variable PROBATE_FRAMES names, else to `frames`
            of the cache (PROBATE_CACHE, else the user's). The name of that file is the SHA-256 of its
            content: a run with the same table continues, and the lock file of the run names the hash. A path
            starts from the working folder. New data replaces `source`, `format`, `split`, `columns` and
            `labels` of the section by their defaults, unless the same call names them (`**{"data.labels":
            [...]}`). With `augmented`, nothing is generated: `bias.types` becomes `["given"]`, unless the
            same call names it. A dictionary changes the section only.

        Returns
        -------
        Study
            A new study; this one stays as it is.

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
        >>> study = pb.Study.preset("quickstart").with_(ratios=[0, 0.2, 0.5], **{"training.epochs": 1})
        >>> study.ratios, study.training.epochs
        ([0.0, 0.2, 0.5], 1)
        >>> frame = pd.DataFrame({"text": ["She builds.", "He nurses."], "label": ["builder", "nurse"], "gender": ["F", "M"]})
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

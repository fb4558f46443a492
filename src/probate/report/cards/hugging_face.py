"""Hugging Face cards with results in their metadata: of the data set of a run, or of an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probate.core.errors import InputError, nearest
from probate.execution.folder import RunFolder
from probate.report.cards.data_card import data_card, plain
from probate.report.cards.facts import Facts
from probate.report.gate.decide import Gate, Judgement, decide

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TAGS = ["probate", "bias-inheritance"]


def dataset_card(facts: Facts, language: str) -> str:
    """Return the dataset card: metadata for the hub, then the data card.

    Parameters
    ----------
    facts : Facts
        The facts of the data set.
    language : str
        Code of the language, as in `en`.

    Returns
    -------
    str
        Markdown with a YAML header.
    """
    from huggingface_hub import DatasetCardData

    files = [{"split": _split(f.path), "path": f.path} for f in facts.files]
    head = DatasetCardData(
        pretty_name=facts.name,
        language=[language],
        tags=[*TAGS, "synthetic"],
        task_categories=["text-classification"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    return f"---\n{head.to_yaml()}\n---\n{data_card(facts)}"


def _split(path: str) -> str:
    """Return a name of a split that the hub allows: letters, digits, dots and _."""
    stem = path.rsplit("/", 1)[-1].removesuffix(".jsonl")
    return "".join(c if c.isalnum() or c == "." else "_" for c in stem)


def model_card(folder: RunFolder, arm: str) -> str:
    """Return the model card of an adapter, with the results of its kind of arm as `model-index`.

    Parameters
    ----------
    folder : RunFolder
        The run.
    arm : str
        Arm of the adapter.

    Returns
    -------
    str
        Markdown with a YAML header.

    Raises
    ------
    InputError
        The run does not have the arm.
    """
    from huggingface_hub import ModelCardData

    study, outcomes = folder.study(), folder.outcomes()
    arms = list(dict.fromkeys(outcomes["arm"]))
    if study.model.api is not None:
        raise InputError(
            f"card: --arm: the models of this run are on the server {study.model.api.base_url}, so there is "
            "no adapter; write the card of the data without --arm"
        )
    if arm not in arms:
        raise InputError(f"card: the run has no arm '{arm}'{nearest(arm, arms)}; it has: {', '.join(arms)}")
    own = outcomes[outcomes["arm"] == arm].iloc[0]
    decisions = [
        d  # a judgement without results has no γ, and belongs to every arm of its bias type
        for d in decide(folder, Gate.model_validate({}))
        if d.bias_type == own["bias_type"] and (d.ratio != d.ratio or d.ratio == own["ratio"])
    ]
    results = [r for d in decisions if d.estimate == d.estimate for r in _results(d, study.data.source)]
    head = ModelCardData(
        library_name="peft",
        base_model=study.model.name,
        tags=[*TAGS, "lora"],
        model_name=f"{study.name}-{arm}" if results else None,
        eval_results=results or None,
    )
    lines = [
        f"# {plain(study.name)}: {plain(arm)}",
        "",
        f"A LoRA adapter of `{study.model.name}`, trained on data of bias type {plain(own['bias_type'])} "
        f"at γ {own['ratio']:g}, seed {own['seed']}"
        + ("." if own["mitigation"] == "none" else f", mitigated by {plain(own['mitigation'])}."),
        "",
        "The adapter was trained to measure what a model inherits from such data. Do not use it for "
        "anything else.",
        "\n## Results\n",
        *(f"- {plain(d.sentence)}" for d in decisions),
        *(
            []
            if decisions
            else [
                "- Inheritance is measured for arms with biased data at the largest γ. This arm is not one "
                "of them."
            ]
        ),
    ]
    return f"---\n{head.to_yaml()}\n---\n" + "\n".join(lines) + "\n"


def _results(d: Judgement, source: str) -> list[EvalResult]:
    """Return the estimate and the ends of its interval as results.

    The metric's name contains the task, because the hub joins results of one data set under one task.
    """
    from huggingface_hub import EvalResult

    name = f"{d.task}: inherited gap, {d.comparison}, {d.contrast}"
    return [
        EvalResult(
            task_type="text-classification",
            dataset_name=source.rsplit("/", 1)[-1],
            dataset_type=source.removeprefix("hf:") if source.startswith("hf:") else "local",
            metric_type=kind,
            metric_name=name + which,
            metric_value=round(value, 6),
        )
        for kind, which, value in (
            ("inheritance", "", d.estimate),
            ("inheritance_ci_low", ": lower end", d.low),
            ("inheritance_ci_high", ": upper end", d.high),
        )
    ]

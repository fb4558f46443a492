"""A Hugging Face card with the results in its metadata: of the data set of a run, or of one of its adapters."""

from __future__ import annotations

from typing import Any

import yaml

from probate.core.errors import InputError, nearest
from probate.execution.folder import RunFolder
from probate.report.cards.data_card import data_card, plain
from probate.report.cards.facts import Facts
from probate.report.gate.decide import Gate, Judgement, decide


def dataset_card(facts: Facts, language: str) -> str:
    """Metadata as the hub reads it, then the data card."""
    head = {
        "pretty_name": facts.name,
        "language": [language],
        "tags": ["probate", "bias-inheritance", "synthetic"],
        "task_categories": ["text-classification"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": _split(f.path), "path": f.path} for f in facts.files],
            }
        ],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{data_card(facts)}"


def _split(path: str) -> str:
    """A split name the hub allows: words of letters, digits and dots, joined by _."""
    stem = path.rsplit("/", 1)[-1].removesuffix(".jsonl")
    return "".join(c if c.isalnum() or c == "." else "_" for c in stem)


def model_card(folder: RunFolder, arm: str) -> str:
    """Of one adapter: what was measured of its kind of arm, as `model-index`.

    Raises:
        InputError: an arm that the run does not have.
    """
    study, outcomes = folder.study(), folder.outcomes()
    arms = list(dict.fromkeys(outcomes["arm"]))
    if arm not in arms:
        raise InputError(f"card: the run has no arm '{arm}'{nearest(arm, arms)}; it has: {', '.join(arms)}")
    own = outcomes[outcomes["arm"] == arm].iloc[0]
    decisions = [
        d  # one that was not measured has no γ, and is told of every arm of its bias type
        for d in decide(folder, Gate.model_validate({}))
        if d.bias_type == own["bias_type"] and (d.ratio != d.ratio or d.ratio == own["ratio"])
    ]
    results = [_result(d, study.data.source) for d in decisions if d.estimate == d.estimate]
    head = {
        "library_name": "peft",
        "base_model": study.model.name,
        "tags": ["probate", "bias-inheritance", "lora"],
        **({"model-index": [{"name": f"{study.name}-{arm}", "results": results}]} if results else {}),
    }
    lines = [
        f"# {plain(study.name)}: {plain(arm)}",
        "",
        f"A LoRA adapter of `{study.model.name}`, trained on data of bias type {plain(own['bias_type'])} at γ {own['ratio']:g}, seed {own['seed']}"
        + ("." if own["mitigation"] == "none" else f", mitigated by {plain(own['mitigation'])}."),
        "",
        "Trained to measure what is inherited from such data, not to be used.",
        "\n## What was measured\n",
        *(f"- {plain(d.sentence)}" for d in decisions),
        *(
            []
            if decisions
            else [
                "- Inheritance is measured for arms with biased data at the largest γ; this is none of them."
            ]
        ),
    ]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n" + "\n".join(lines) + "\n"


def _result(d: Judgement, source: str) -> dict[str, Any]:
    name = f"inherited gap, {d.comparison}, {d.contrast}"
    return {
        "task": {"type": "text-classification", "name": d.task},
        "dataset": {
            "name": source.rsplit("/", 1)[-1],
            "type": source.removeprefix("hf:") if source.startswith("hf:") else "local",
        },
        "metrics": [
            {"type": "inheritance", "name": name, "value": round(d.estimate, 6), "verified": False},
            {
                "type": "inheritance_ci_low",
                "name": f"{name}: lower end",
                "value": round(d.low, 6),
                "verified": False,
            },
            {
                "type": "inheritance_ci_high",
                "name": f"{name}: upper end",
                "value": round(d.high, 6),
                "verified": False,
            },
        ],
    }

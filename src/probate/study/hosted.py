"""A study whose model is fine-tuned by a server: what it cannot contain, and what has no effect."""

from __future__ import annotations

from typing import Any

USED = {"epochs", "beta"}
"""Keys of `training` that apply on a server."""


def is_hosted(spec: Any) -> bool:
    """Return whether a server fine-tunes the model."""
    return bool(spec.api and spec.api.fine_tune)


def fault(study: Any) -> str:
    """Return why the study's models cannot be fine-tuned by their server; "" if they can or are local."""
    learners = [m for m in (study.model, *study.axes.model) if m.api is not None]
    if not learners:
        return ""
    if not all(map(is_hosted, learners)):
        return (
            "model: a model behind a server cannot be fine-tuned without model.api.fine_tune, the settings "
            "of the server's fine-tuning jobs; add it ({} for the defaults), use the model as the generator, "
            "or measure it with: probate ask"
        )
    own = next((m for m in learners if m.adapter or m.revision or m.chat_template), None)
    if own is not None:
        key = next(k for k in ("adapter", "revision", "chat_template") if getattr(own, k))
        return f"model.{key}: has no effect on a model behind a server; remove it"
    if "model" in study.distribution:
        return "distribution: 'model' needs the weights of the model, which a server keeps; use sentences"
    if study.rounds > 1 and study.round_policy == "continued":
        return (
            "round_policy: 'continued' is not available for a model behind a server, whose jobs begin with "
            "model.api.model; use another policy"
        )
    if study.training.trainer != "lora":
        return (
            f"training.trainer: '{study.training.trainer}' cannot train a model behind a server, "
            "which trains it itself; remove it"
        )
    return ""


def without_effect(study: Any) -> list[str]:
    """Return the keys of `training` that the study changes and that have no effect on a server."""
    defaults = type(study.training)().model_dump()
    own: dict[str, Any] = study.training.model_dump()
    used = USED if study.method == "dpo" else USED - {"beta"}
    keys = []
    for key in own:
        if key == "lora":
            keys += [f"training.lora.{k}" for k, v in own[key].items() if v != defaults[key][k]]
        elif key not in used and own[key] != defaults.get(key):
            keys.append(f"training.{key}")
    return keys


def remarks(study: Any) -> list[str]:
    """Return sentences on what fine-tuning by a server means for the results; empty for local models."""
    if study.model.api is None or study.model.api.fine_tune is None:
        return []
    beta = " and beta" if study.method == "dpo" else ""
    said = [
        f"The models are fine-tuned by {study.model.api.base_url}, whose method and weights cannot be "
        f"examined. Of `training`, only epochs{beta} apply, and the server may treat a seed in its own way."
    ]
    if keys := without_effect(study):
        verb = "has" if len(keys) == 1 else "have"
        said.append(f"{', '.join(keys)} {verb} no effect, because the server trains with its own settings.")
    said.append(
        "Choices are asked as letters, as by `probate ask`, so compare the arms of this study only with each "
        "other, and not with a local model."
    )
    return said

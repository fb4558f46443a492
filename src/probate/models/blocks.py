"""Find the blocks of a decoder, in order, whatever the architecture calls them."""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from probate.core.errors import StageError


def blocks(model: Any) -> tuple[str, torch.nn.ModuleList]:
    """Return the blocks of a causal LM's text decoder.

    The blocks are the outermost module list that has as many modules as the config has hidden layers. If
    there are several such lists, as in a wrapper around other parts, the one with the most parameters is
    taken.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A causal LM of transformers, with or without a PEFT adapter attached.

    Returns
    -------
    name : str
        Name of the list within the model.
    blocks : ModuleList
        The blocks, in order.

    Raises
    ------
    StageError
        The model has no such list.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    depth = getattr(base.config.get_text_config(decoder=True), "num_hidden_layers", None)
    lists = {n: m for n, m in base.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth}
    outer = {n: m for n, m in lists.items() if not any(n.startswith(f"{other}.") for other in lists)}
    if not outer:
        raise StageError(
            f"the blocks of {type(base).__name__} were not found, so its last blocks cannot be run alone"
        )
    return max(outer.items(), key=lambda item: sum(p.numel() for p in item[1].parameters()))


def linear(module: torch.nn.Module) -> dict[str, Any]:
    """Return the linear layers within `module` by name, without those of an adapter."""

    return {
        n: m
        for n, m in module.named_modules()
        if isinstance(m, torch.nn.Linear | Conv1D) and "lora_" not in n
    }

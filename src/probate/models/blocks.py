"""The blocks of a decoder, in order, whatever its architecture calls them."""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from probate.core.errors import StageError


def blocks(model: Any) -> tuple[str, torch.nn.ModuleList]:
    """(name within `model`, blocks in order) of the text decoder of a causal LM of transformers, which may wear a PEFT adapter.

    They are the outermost list of as many modules as the configuration has hidden layers; of several (a shell around other
    parts) the one with the most parameters.

    Raises:
        StageError: there is no such list.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    depth = getattr(base.config.get_text_config(decoder=True), "num_hidden_layers", None)
    lists = {n: m for n, m in base.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth}
    outer = {n: m for n, m in lists.items() if not any(n.startswith(f"{other}.") for other in lists)}
    if not outer:
        raise StageError(
            f"the blocks of {type(base).__name__} were not found, so that its last ones cannot be taken alone"
        )
    return max(outer.items(), key=lambda item: sum(p.numel() for p in item[1].parameters()))


def linear(module: torch.nn.Module) -> dict[str, Any]:
    """Name → linear layer within `module`, without those of an adapter."""

    return {
        n: m
        for n, m in module.named_modules()
        if isinstance(m, torch.nn.Linear | Conv1D) and "lora_" not in n
    }

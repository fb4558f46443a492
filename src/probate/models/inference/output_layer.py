"""The output layer at some positions only: its product with the vocabulary is a large one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from probate.models.inference.proof import base_of


@contextmanager
def without_output_layer(model: Any) -> Iterator[None]:
    """Run the output layer at no position inside the block; a pass has no logits."""
    with _before_output_layer(model, lambda _, args: (args[0][:, :0], *args[1:])):
        yield


@contextmanager
def output_layer_at(model: Any, wanted: torch.Tensor) -> Iterator[list[bool]]:
    """Run the output layer at the wanted ones of the last positions, inside the block.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A causal LM of transformers.
    wanted : Tensor of bool, of shape (rows, positions)
        Which of the last positions of each row are wanted.

    Yields
    ------
    list of bool
        Empty if the output layer did not run in the block. Otherwise the pass has logits of shape
        (1, wanted positions, vocabulary), row by row.
    """
    ran: list[bool] = []

    def choose(_: Any, args: tuple[Any, ...]) -> Any:
        states = args[0]
        if states.shape[:2] != wanted.shape:
            return None
        ran.append(True)
        return (states[wanted][None], *args[1:])

    with _before_output_layer(model, choose):
        yield ran


@contextmanager
def _before_output_layer(model: Any, change: Callable[[Any, tuple[Any, ...]], Any]) -> Iterator[None]:
    """Change the output layer's arguments inside the block, if the model has one."""
    head = base_of(model).get_output_embeddings()
    hook = head and head.register_forward_pre_hook(change)
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()

"""How far original and augmented records lie apart in a model's last hidden state, before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from probate.core.records import Record, with_messages
from probate.models.adapter import attached
from probate.models.inference.batching import TOKENS_PER_BATCH, batches_by_length
from probate.models.lm import LM
from probate.train.examples import encode
from probate.train.losses import Example, above_trunk, loss_and_features

MOST = 96
"""Records of each origin that are compared."""


@torch.inference_mode()
def mean_states(model: Any, examples: Sequence[Example], pad_id: int) -> torch.Tensor:
    """φ of each example, in order: the mean last hidden state over its tokens, of shape (examples, width)."""
    device = next(model.parameters()).device
    found: dict[int, torch.Tensor] = {}
    with above_trunk(model, examples, pad_id) as (inputs, padding):
        for batch in batches_by_length(
            [e.tokens for e in inputs], 32, TOKENS_PER_BATCH.get(device.type, 2048)
        ):
            _, features = loss_and_features(model, [inputs[i] for i in batch], padding)
            assert features is not None
            found |= dict(zip(batch, features.float().cpu(), strict=True))
    return torch.stack([found[i] for i in range(len(examples))])


def squared_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """‖E_x − E_y‖² without the part that sampling adds: Σ‖x − x̄‖²/(n(n−1)) is taken off for each side. May be below 0."""
    raw = (x.mean(0) - y.mean(0)).square().sum()
    noise = sum(s.var(0, unbiased=True).sum() / len(s) for s in (x, y))
    return float(raw - noise)


def distance_before_after(
    base: LM,
    adapter: Path,
    original: Sequence[Record],
    augmented: Sequence[Record],
    prompt: str,
    labels: Sequence[str],
    limit: int,
) -> tuple[float, float, tuple[int, int]]:
    """`squared_distance` of φ between the two sets under the base model and with the adapter, and how many of each were compared."""
    sets = [
        encode(base, with_messages(rows[:MOST], prompt, labels), limit)[0] for rows in (original, augmented)
    ]

    def apart(model: Any) -> float:
        return squared_distance(*(mean_states(model, examples, base.pad_id) for examples in sets))

    before = apart(base.model)
    with attached(base.model, adapter) as model:
        return before, apart(model), (len(sets[0]), len(sets[1]))

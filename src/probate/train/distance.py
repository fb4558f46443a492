"""Distance of original and augmented records in a model's last hidden state, before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from probate.core.records import Record, with_messages
from probate.models.adapter import attached
from probate.models.inference.batching import TOKENS_PER_BATCH, batches_by_length
from probate.models.lm import LM
from probate.train.examples import encode_records
from probate.train.losses import Example, above_trunk, loss_and_features

MAX_RECORDS = 96
"""Maximum number of compared records per origin."""


@torch.inference_mode()
def mean_states(model: Any, examples: Sequence[Example], pad_id: int) -> torch.Tensor:
    """Compute φ of each example: the mean last hidden state over its tokens.

    Returns
    -------
    Tensor of shape (examples, width)
        In the order of `examples`, float32.
    """
    device = next(model.parameters()).device
    states: dict[int, torch.Tensor] = {}
    with above_trunk(model, examples, pad_id) as (inputs, padding):
        for batch in batches_by_length(
            [e.tokens for e in inputs], 32, TOKENS_PER_BATCH.get(device.type, 2048)
        ):
            _, features = loss_and_features(model, [inputs[i] for i in batch], padding)
            assert features is not None
            states |= dict(zip(batch, features.float().cpu(), strict=True))
    return torch.stack([states[i] for i in range(len(examples))])


def squared_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """Estimate ‖E_x − E_y‖² without the bias of sampling.

    Σ‖x − x̄‖²/(n(n−1)) is subtracted for each side, so the estimate can be below 0. Higher means less
    similar.

    Parameters
    ----------
    x, y : Tensor of shape (records, width)
        The two samples.

    Returns
    -------
    float
        The unbiased estimate.
    """
    raw = (x.mean(0) - y.mean(0)).square().sum()
    noise = sum(s.var(0, unbiased=True).sum() / len(s) for s in (x, y))
    return float(raw - noise)


def distance_before_after(
    base: LM,
    start: Path | None,
    adapter: Path,
    original: Sequence[Record],
    augmented: Sequence[Record],
    prompt: str,
    labels: Sequence[str],
    limit: int,
) -> tuple[float, float, tuple[int, int]]:
    """Compute `squared_distance` between original and augmented φ, before and after training.

    Returns
    -------
    before, after : float
        The distance under the model before training (the base model, or with the adapter `start`), and with
        the adapter attached.
    counts : tuple of int
        Number of compared original and augmented records.
    """
    sets = [
        encode_records(base, with_messages(rows[:MAX_RECORDS], prompt, labels), limit)[0]
        for rows in (original, augmented)
    ]

    def distance(model: Any) -> float:
        return squared_distance(*(mean_states(model, examples, base.pad_id) for examples in sets))

    def under(folder: Path) -> float:
        with attached(base.model, folder) as model:
            return distance(model)

    before = under(start) if start else distance(base.model)
    return before, under(adapter), (len(sets[0]), len(sets[1]))

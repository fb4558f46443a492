"""Batched sampling with a seed for each record, so that a record does not depend on its neighbours' luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from probate.infer.batching import TOKENS_PER_BATCH, batches_by_length, pad_left
from probate.infer.prefix import cache_argument


@torch.inference_mode()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    stop_ids: Sequence[int],
    pad_id: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_rows: int = 32,
    done: Callable[[list[int], list[list[int]]], None] | None = None,
    skip: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """Sample one continuation per prompt.

    Prompts are batched by length and padded on the left; a row that has ended leaves its batch. Each row draws
    from its own generator (`seeds[i]`). `temperature` 0 is greedy. `done(indices, answers)` is called after each
    batch, so that a caller can save what is finished; batches for which `skip(indices)` is true are left out (a
    resumed call passes all prompts again, so that batches, and with them rounding, are those of the first call).

    Returns:
        The new token ids of each prompt, without the stop token; at most `max_new_tokens` each.
    """
    device = next(model.parameters()).device
    answers: list[list[int]] = [[] for _ in prompts]
    budget = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"]) * 4
    for batch in batches_by_length([len(p) for p in prompts], max_rows, budget, extra=max_new_tokens):
        if skip and skip(batch):
            continue
        _generate_batch(
            model, batch, prompts, seeds, answers, set(stop_ids), pad_id, max_new_tokens, temperature, top_p, device
        )
        if done:
            done(batch, [answers[i] for i in batch])
    return answers


def _generate_batch(
    model: Any,
    batch: list[int],
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    answers: list[list[int]],
    stops: set[int],
    pad_id: int,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    device: torch.device,
) -> None:
    rows = list(batch)
    generators = {i: torch.Generator().manual_seed(int(seeds[i])) for i in rows}
    ids, mask = pad_left([prompts[i] for i in rows], pad_id, device)
    position = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache()
    for _ in range(max_new_tokens):
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            use_cache=True,
            logits_to_keep=1,
            **cache_argument(model, cache),
        )
        noise = torch.stack([torch.rand((), generator=generators[i], dtype=torch.float64) for i in rows])
        tokens = sample(out.logits[:, -1].float(), noise.to(device), temperature, top_p)
        picked = tokens.tolist()
        alive = [k for k, token in enumerate(picked) if token not in stops]
        for k in alive:
            answers[rows[k]].append(picked[k])
        if not alive:
            return
        if len(alive) < len(rows):
            index = torch.tensor(alive, device=device)
            cache.batch_select_indices(index)
            tokens, mask, position = tokens[index], mask[index], position[index]
            rows = [rows[k] for k in alive]
        ids = tokens[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        position = position[:, -1:] + 1


def sample(logits: torch.Tensor, noise: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Nucleus sampling by inversion: `logits` (rows, vocabulary), `noise` (rows,) uniform in [0, 1) → token ids."""
    if temperature == 0:
        return logits.argmax(-1)
    keep = min(1024, logits.shape[-1]) if top_p < 1 else logits.shape[-1]
    total = torch.logsumexp(logits / temperature, dim=-1, keepdim=True)
    values, order = (logits / temperature).topk(keep, dim=-1)
    probs = (values - total).exp().double()
    cumulative = probs.cumsum(-1)
    inside = (cumulative - probs) < top_p  # the smallest set that reaches top_p; its first token is always in
    cumulative = (probs * inside).cumsum(-1)
    target = noise[:, None] * cumulative[:, -1:]
    choice = (cumulative <= target).sum(-1, keepdim=True).clamp(max=keep - 1)
    return order.gather(1, choice)[:, 0]

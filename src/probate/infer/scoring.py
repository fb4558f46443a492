"""Choice scoring: log-likelihoods of all options of a prompt from one forward pass.

Three levels of sharing, each computed once: the tokens that all prompts begin with (instruction and label list),
each prompt, and the prefix tree of its options. Only positions that predict an option token reach the output
layer. The result equals one plain forward pass per (prompt, option) up to floating-point rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from probate.infer.batching import TOKENS_PER_BATCH, batches_by_length, pad_left, shared_prefix
from probate.infer.prefix import can_share, prefix_keys_values
from probate.infer.tree import OptionTree, option_tree, tree_pass
from probate.infer.trunk import PAD, trunk_of

LOGIT_ROWS = 2048  # rows of the output layer at once: bounds memory at large vocabularies


def score_options(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    *,
    pad_id: int,
    max_rows: int = 64,
    tick: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Log-likelihood of every option after every prompt, the same options for all prompts.

    Returns:
        float64 array of shape (prompts, options); otherwise as `score_choices`.
    """
    found = score_choices(model, prompts, [options] * len(prompts), pad_id=pad_id, max_rows=max_rows, tick=tick)
    return np.array(found).reshape(len(prompts), len(options))


@torch.inference_mode()
def score_choices(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[Sequence[int]]],
    *,
    pad_id: int,
    max_rows: int = 64,
    tick: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Log-likelihood of each prompt's own options.

    Args:
        model: a causal LM of transformers (or a PEFT model around one).
        prompts: token ids of each prompt; at least one token each.
        options: for each prompt, token ids of its options; at least one token each.
        pad_id: the padding token; it is masked, so any id will do.
        max_rows: most prompts in one forward pass.
        tick: called with the number of prompts finished after each pass.

    Returns:
        For each prompt a float64 array of shape (its options,): sums of natural-log probabilities, in (-inf, 0].
    """
    if any(not option for own in options for option in own) or any(not prompt for prompt in prompts):
        raise ValueError("scoring needs at least one token in every prompt and option")
    if not len(prompts):
        return []
    longest = max(len(p) + max(map(len, own)) for p, own in zip(prompts, options, strict=True))
    if not can_share(model, longest):
        return _score_plainly(model, prompts, options, pad_id=pad_id, tick=tick)
    known: dict[tuple[tuple[int, ...], ...], OptionTree] = {}
    trees = []
    for own in options:
        key = tuple(tuple(option) for option in own)
        if key not in known:
            known[key] = option_tree(own)
        trees.append(known[key])
    trunk = trunk_of(model)
    entered = trunk.enter(model, prompts, trees) if trunk else None
    if trunk and entered:
        with trunk.above(model):
            return _score_trees(model, *entered, pad_id=PAD, max_rows=max_rows, tick=tick)
    return _score_trees(model, prompts, trees, pad_id=pad_id, max_rows=max_rows, tick=tick)


def _score_trees(
    model: Any,
    prompts: Sequence[Sequence[int]],
    trees: Sequence[OptionTree],
    *,
    pad_id: int,
    max_rows: int,
    tick: Callable[[int], None] | None,
) -> list[np.ndarray]:
    result = [np.zeros(len(tree.paths)) for tree in trees]
    device = next(model.parameters()).device
    shared = shared_prefix(prompts)
    prefix = prefix_keys_values(model, prompts[0][:shared], device) if shared else []
    rows = [list(prompt[shared:]) for prompt in prompts]
    budget = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
    branch = max(len(tree.inputs) for tree in trees)
    max_rows = max(1, min(max_rows, LOGIT_ROWS // (branch + 1)))
    lengths = [len(r) + len(t.inputs) for r, t in zip(rows, trees, strict=True)]
    for batch in batches_by_length(lengths, max_rows, budget):
        held = [trees[i] for i in batch]
        logits = tree_pass(model, [rows[i] for i in batch], prefix, shared, held, pad_id, device).float()
        norm = logits.logsumexp(-1)
        where = [
            (b, k, node, token) for b, tree in enumerate(held) for k, path in enumerate(tree.paths) for node, token in path
        ]
        at, option, node, token = (torch.tensor(x, device=device) for x in zip(*where, strict=True))
        logprobs = (logits[at, node, token] - norm[at, node]).double()
        width = max(len(tree.paths) for tree in held)
        sums = logprobs.new_zeros(len(batch) * width).index_add_(0, at * width + option, logprobs).view(len(batch), width)
        for b, values in zip(batch, sums.cpu().numpy(), strict=True):
            result[b][:] = values[: len(result[b])]
        if tick:
            tick(len(batch))
    return result


def _score_plainly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[Sequence[int]]],
    *,
    pad_id: int,
    tick: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """One padded row per (prompt, option): for models whose attention a tree mask cannot express."""
    device = next(model.parameters()).device
    result = [np.zeros(len(own)) for own in options]
    pairs = [(i, k) for i, own in enumerate(options) for k in range(len(own))]
    rows = [list(prompts[i]) + list(options[i][k]) for i, k in pairs]
    left = [len(own) for own in options]
    budget = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
    for batch in batches_by_length([len(r) for r in rows], 64, budget):
        finished = 0
        ids, mask = pad_left([rows[b] for b in batch], pad_id, device)
        keep = max(len(rows[b]) - len(prompts[pairs[b][0]]) for b in batch) + 1
        position = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=False, logits_to_keep=keep).logits
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        for row, b in enumerate(batch):
            i, k = pairs[b]
            n = len(options[i][k])
            picked = logprobs[row, -n - 1 : -1].gather(1, ids[row, -n:, None])
            result[i][k] = float(picked.double().sum())
            left[i] -= 1
            finished += left[i] == 0
        if tick:
            tick(finished)
    return result

"""Choice scoring: log-likelihoods of all options of a prompt from one forward pass.

Three levels of sharing, each computed once: the tokens that all prompts begin with (instruction and label list),
each prompt, and the prefix tree of its options. Only positions that predict an option token reach the output
layer. The result equals one plain forward pass per (prompt, option) up to floating-point rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from probate.infer.batching import TOKENS_PER_BATCH, batches_by_length, pad_left, shared_prefix
from probate.infer.prefix import KeyValues, cache_argument, can_share, expanded_cache, prefix_keys_values

LOGIT_ROWS = 2048  # rows of the output layer at once: bounds memory at large vocabularies


@dataclass(frozen=True)
class OptionTree:
    """The options' tokens as a prefix tree. Node 0 is the prompt's last token; a leaf needs no input.

    `inputs[n-1]` is the token of inner node n, `parents[n]` its parent, `depths[n]` its distance from node 0,
    `paths[k]` the (node, next token) pairs whose log-probabilities sum to option k's.
    """

    inputs: list[int]
    parents: list[int]
    depths: list[int]
    paths: list[list[tuple[int, int]]]


def option_tree(options: Sequence[Sequence[int]]) -> OptionTree:
    """Build the prefix tree of `options` (token ids; none may be empty)."""
    nodes: dict[tuple[int, ...], int] = {(): 0}
    inputs: list[int] = []
    parents, depths = [-1], [0]
    paths = []
    for option in options:
        path = []
        for i, token in enumerate(option):
            head = tuple(option[:i])
            if head not in nodes:
                nodes[head] = len(parents)
                inputs.append(head[-1])
                parents.append(nodes[head[:-1]])
                depths.append(i)
            path.append((nodes[head], token))
        paths.append(path)
    return OptionTree(inputs, parents, depths, paths)


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
    result = [np.zeros(len(own)) for own in options]
    if not len(prompts):
        return result
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
        logits = _tree_pass(model, [rows[i] for i in batch], prefix, shared, held, pad_id, device).float()
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


def _tree_pass(
    model: Any,
    rows: list[list[int]],
    prefix: KeyValues,
    shared: int,
    trees: list[OptionTree],
    pad_id: int,
    device: torch.device,
) -> torch.Tensor:
    """Logits of shape (rows, 1 + nodes of the largest tree, vocabulary); a smaller tree is padded at its end."""
    ids, mask = pad_left(rows, pad_id, device)
    count, width = ids.shape
    branch = max(len(tree.inputs) for tree in trees)
    total = shared + width + branch
    seen = torch.zeros((count, width + branch, total), dtype=torch.bool, device=device)
    seen[:, :, :shared] = True
    seen[:, :width, shared : shared + width] = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    seen[:, width:, shared : shared + width] = True
    seen[:, :, shared : shared + width] &= mask.bool()[:, None, :]
    position = (mask.cumsum(1) - 1).clamp(min=0) + shared
    if branch:
        laid = {id(tree): _laid_out(tree, branch, pad_id) for tree in trees}
        inputs, depths, ancestors = (torch.stack(x).to(device) for x in zip(*(laid[id(t)] for t in trees), strict=True))
        ids = torch.cat([ids, inputs], dim=1)
        seen[:, width:, shared + width :] = ancestors
        position = torch.cat([position, position[:, -1:] + depths], dim=1)
    pads = torch.arange(width, device=device)
    seen[:, pads, shared + pads] = True  # a padding row must see something, or its softmax is NaN
    dtype = next(model.parameters()).dtype
    bias = torch.zeros((count, 1, width + branch, total), dtype=dtype, device=device)
    bias.masked_fill_(~seen[:, None], torch.finfo(dtype).min)
    return model(
        input_ids=ids,
        attention_mask=bias,
        position_ids=position,
        use_cache=bool(shared),
        logits_to_keep=branch + 1,
        **cache_argument(model, expanded_cache(prefix, count) if shared else None),
    ).logits


def _laid_out(tree: OptionTree, branch: int, pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input ids (branch,), depths (branch,) and which inner node sees which (branch, branch), padded to `branch`."""
    size = len(tree.inputs)
    inputs = torch.full((branch,), pad_id, dtype=torch.long)
    depths = torch.zeros(branch, dtype=torch.long)
    ancestors = torch.eye(branch, dtype=torch.bool)
    inputs[:size] = torch.tensor(tree.inputs, dtype=torch.long)
    depths[:size] = torch.tensor(tree.depths[1:], dtype=torch.long)
    for node in range(1, size + 1):
        at = tree.parents[node]
        while at > 0:
            ancestors[node - 1, at - 1] = True
            at = tree.parents[at]
    return inputs, depths, ancestors


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

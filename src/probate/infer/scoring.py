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
from probate.infer.prefix import KeyValues, can_share, expanded_cache, prefix_keys_values

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


@torch.inference_mode()
def score_options(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    *,
    pad_id: int,
    max_rows: int = 64,
    tick: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Log-likelihood of every option after every prompt.

    Args:
        model: a causal LM of transformers (or a PEFT model around one).
        prompts: token ids of each prompt; at least one token each.
        options: token ids of each option, the same options for all prompts.
        pad_id: the padding token; it is masked, so any id will do.
        max_rows: most prompts in one forward pass.
        tick: called with the number of prompts finished after each pass.

    Returns:
        float64 array of shape (prompts, options): sums of natural-log probabilities, in (-inf, 0].
    """
    if any(not option for option in options) or any(not prompt for prompt in prompts):
        raise ValueError("score_options needs at least one token in every prompt and option")
    result = np.zeros((len(prompts), len(options)))
    if not len(prompts):
        return result
    tree = option_tree(options)
    longest = max(map(len, prompts)) + max(map(len, options))
    if not can_share(model, longest):
        return _score_plainly(model, prompts, options, pad_id=pad_id, tick=tick)
    device = next(model.parameters()).device
    shared = shared_prefix(prompts)
    prefix = prefix_keys_values(model, prompts[0][:shared], device) if shared else []
    rows = [list(prompt[shared:]) for prompt in prompts]
    budget = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
    max_rows = max(1, min(max_rows, LOGIT_ROWS // len(tree.parents)))
    for batch in batches_by_length([len(r) for r in rows], max_rows, budget, extra=len(tree.inputs)):
        logits = _tree_pass(model, [rows[i] for i in batch], prefix, shared, tree, pad_id, device).float()
        norm = logits.logsumexp(-1)
        for k, path in enumerate(tree.paths):
            positions = torch.tensor([node for node, _ in path], device=device)
            tokens = torch.tensor([token for _, token in path], device=device)
            logprobs = logits[:, positions, tokens] - norm[:, positions]
            result[batch, k] = logprobs.double().sum(-1).cpu().numpy()
        if tick:
            tick(len(batch))
    return result


def _tree_pass(
    model: Any, rows: list[list[int]], prefix: KeyValues, shared: int, tree: OptionTree, pad_id: int, device: torch.device
) -> torch.Tensor:
    """Logits of shape (rows, nodes of the tree, vocabulary)."""
    ids, mask = pad_left(rows, pad_id, device)
    count, width = ids.shape
    branch = len(tree.inputs)
    total = shared + width + branch
    if branch:
        ids = torch.cat([ids, torch.tensor(tree.inputs, device=device).expand(count, -1)], dim=1)
    seen = torch.zeros((count, width + branch, total), dtype=torch.bool, device=device)
    seen[:, :, :shared] = True
    seen[:, :width, shared : shared + width] = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    seen[:, width:, shared : shared + width] = True
    seen[:, :, shared : shared + width] &= mask.bool()[:, None, :]
    for node in range(1, branch + 1):
        at = node
        while at > 0:
            seen[:, width + node - 1, shared + width + at - 1] = True
            at = tree.parents[at]
    pads = torch.arange(width, device=device)
    seen[:, pads, shared + pads] = True  # a padding row must see something, or its softmax is NaN
    position = (mask.cumsum(1) - 1).clamp(min=0) + shared
    if branch:
        depths = torch.tensor(tree.depths[1:], device=device)
        position = torch.cat([position, position[:, -1:] + depths], dim=1)
    dtype = next(model.parameters()).dtype
    bias = torch.zeros((count, 1, width + branch, total), dtype=dtype, device=device)
    bias.masked_fill_(~seen[:, None], torch.finfo(dtype).min)
    return model(
        input_ids=ids,
        attention_mask=bias,
        position_ids=position,
        past_key_values=expanded_cache(prefix, count) if shared else None,
        use_cache=bool(shared),
        logits_to_keep=branch + 1,
    ).logits


def _score_plainly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    *,
    pad_id: int,
    tick: Callable[[int], None] | None = None,
) -> np.ndarray:
    """One padded row per (prompt, option): for models whose attention a tree mask cannot express."""
    device = next(model.parameters()).device
    result = np.zeros((len(prompts), len(options)))
    pairs = [(i, k) for i in range(len(prompts)) for k in range(len(options))]
    rows = [list(prompts[i]) + list(options[k]) for i, k in pairs]
    budget = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
    done = 0
    for batch in batches_by_length([len(r) for r in rows], 64, budget):
        ids, mask = pad_left([rows[b] for b in batch], pad_id, device)
        keep = max(len(options[pairs[b][1]]) for b in batch) + 1
        position = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=False, logits_to_keep=keep).logits
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        for row, b in enumerate(batch):
            i, k = pairs[b]
            n = len(options[k])
            picked = logprobs[row, -n - 1 : -1].gather(1, ids[row, -n:, None])
            result[i, k] = float(picked.double().sum())
        done += len(batch)
        if tick:
            tick(done // len(options) - (done - len(batch)) // len(options))
    return result

"""Choice scoring: log-likelihoods of all options of a prompt from one forward pass.

Three levels are shared and computed once each: the tokens that all prompts begin with (instruction and label
list), each prompt, and the prefix tree of its options. Only positions that predict an option token reach the
output layer. The result equals one plain forward pass per (prompt, option) up to floating-point rounding. For
a model where this does not hold (`probate.models.inference.proof`), each row is passed whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from probate.models.inference.batching import TOKENS_PER_BATCH, batches_by_length, shared_prefix
from probate.models.inference.prefix import prefix_keys_values
from probate.models.inference.proof import holds, plain_logits, plain_pass, random_rows, relative_difference
from probate.models.inference.tree import OptionTree, option_tree, tree_pass
from probate.models.inference.trunk import PAD, Trunk, trunk_of

LOGIT_ROWS = 2048  # rows of the output layer at once; bounds memory at large vocabularies


def score_options(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    *,
    pad_id: int,
    max_rows: int = 64,
    tick: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Compute the log-likelihood of every option after every prompt; the prompts share their options.

    Parameters
    ----------
    model, prompts, pad_id, max_rows, tick
        As for `score_choices`.
    options : sequence of sequences of int
        Token ids of each option, at least one token each.

    Returns
    -------
    ndarray of shape (prompts, options)
        Sums of natural-log token probabilities, float64, in (-inf, 0]. Higher is more likely.
    """
    scores = score_choices(
        model, prompts, [options] * len(prompts), pad_id=pad_id, max_rows=max_rows, tick=tick
    )
    return np.array(scores).reshape(len(prompts), len(options))


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
    """Compute the log-likelihood of each prompt's own options.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A causal LM of transformers, or a PEFT model around one.
    prompts : sequence of sequences of int
        Token ids of each prompt, at least one token each.
    options : sequence of sequences of sequences of int
        For each prompt, the token ids of its options, at least one token each.
    pad_id : int
        The padding token. It is masked, so any id works.
    max_rows : int, default=64
        Maximum number of prompts in a forward pass.
    tick : callable, optional
        Called after each pass with the number of prompts it finished.

    Returns
    -------
    list of ndarray, of length prompts
        For each prompt, a float64 array of shape (options,): sums of natural-log token probabilities, in
        (-inf, 0]. Higher is more likely.
    """
    if any(not option for own in options for option in own) or any(not prompt for prompt in prompts):
        raise ValueError("scoring needs at least one token in every prompt and option")
    if not len(prompts):
        return []
    longest = max(len(p) + max(map(len, own), default=0) for p, own in zip(prompts, options, strict=True))
    trees = _trees(options)
    unshared = not shared_prefix(prompts)
    trunk = trunk_of(model)
    if trunk and _trunk_holds(model, trunk, longest, pad_id):
        entered = trunk.enter(model, prompts, trees)
        if entered:
            with trunk.above(model):
                return _score_trees(model, *entered, pad_id=PAD, max_rows=max_rows, tick=tick)
    if _tree_holds(model, longest, pad_id, unshared):
        return _score_trees(model, prompts, trees, pad_id=pad_id, max_rows=max_rows, tick=tick)
    size = max_rows if padding_holds(model, longest, pad_id) else 1
    return _score_plainly(model, prompts, options, pad_id=pad_id, max_rows=size, tick=tick)


def _trees(options: Sequence[Sequence[Sequence[int]]]) -> list[OptionTree]:
    """Return the prefix tree of each prompt's options; equal options share a tree."""
    known: dict[tuple[tuple[int, ...], ...], OptionTree] = {}
    trees = []
    for own in options:
        key = tuple(tuple(option) for option in own)
        if key not in known:
            known[key] = option_tree(own)
        trees.append(known[key])
    return trees


def _trunk_holds(model: Any, trunk: Trunk, longest: int, pad_id: int) -> bool:
    """Check the scores of a model above its shared trunk against plain passes."""

    def measure(length: int) -> float:
        worst = 0.0
        for unshared in (False, True):
            prompts, options, plain, spread = _case(model, length, pad_id, unshared)
            own = trunk.fresh(model)
            entered = own.enter(model, prompts, _trees(options))
            if entered is None:
                raise MemoryError("no room for the trunk's states")
            with own.above(model):
                scores = _score_trees(model, *entered, pad_id=PAD, max_rows=64, tick=None)
            worst = max(worst, _gap(scores, plain, spread))
        return worst

    return holds(model, f"options above the shared trunk of {trunk.bottom} layers", longest, measure)


def _tree_holds(model: Any, longest: int, pad_id: int, unshared: bool) -> bool:
    """Check the scores of option trees against plain passes."""

    def measure(length: int) -> float:
        prompts, options, plain, spread = _case(model, length, pad_id, unshared)
        return _gap(
            _score_trees(model, prompts, _trees(options), pad_id=pad_id, max_rows=64, tick=None),
            plain,
            spread,
        )

    return holds(model, "option tree" if unshared else "option tree after a shared prefix", longest, measure)


def padding_holds(model: Any, longest: int, pad_id: int) -> bool:
    """Check that rows padded on the right, without a mask, give the same result as each row alone."""

    def measure(length: int) -> float:
        prompts, options, plain, spread = _case(model, length, pad_id, True)
        return _gap(_score_plainly(model, prompts, options, pad_id=pad_id, max_rows=64), plain, spread)

    return holds(model, "options in batches", longest, measure)


def _case(
    model: Any, length: int, pad_id: int, unshared: bool
) -> tuple[list[list[int]], list[list[list[int]]], list[np.ndarray], torch.Tensor]:
    """Return a long and a short prompt with branching options, their plain scores, and the plain logits."""
    long, near, far = random_rows(model, length, pad_id)
    short = far if unshared else near
    rows = [
        long,
        short,
        [*short[:-3], long[-3], *short[-2:]],
    ]  # the third is another branch after the short prompt
    logits = [plain_logits(model, row)[:-1].log_softmax(-1) for row in rows]
    ends = long[:8]
    first = [[long[-2], end] for end in ends] + [[end] for end in ends if end != long[-2]]
    second = [[*row[-3:-1], end] for row in rows[1:] for end in ends]
    plain = [
        np.array([float(logits[0][range(-2, len(o) - 2), o].sum()) for o in first]),
        np.array([float(logits[1 + i // len(ends)][range(-3, 0), o].sum()) for i, o in enumerate(second)]),
    ]
    return [long[:-2], short[:-3]], [first, second], plain, torch.stack(logits)


def _gap(scores: Sequence[np.ndarray], plain: Sequence[np.ndarray], spread: torch.Tensor) -> float:
    return relative_difference(
        torch.tensor(np.concatenate(scores)), torch.tensor(np.concatenate(plain)), spread
    )


def _score_trees(
    model: Any,
    prompts: Sequence[Sequence[int]],
    trees: Sequence[OptionTree],
    *,
    pad_id: int,
    max_rows: int,
    tick: Callable[[int], None] | None,
) -> list[np.ndarray]:
    """Score all options with one pass per batch of prompts and their option trees."""
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
        batch_trees = [trees[i] for i in batch]
        logits = tree_pass(
            model, [rows[i] for i in batch], prefix, shared, batch_trees, pad_id, device
        ).float()
        norm = logits.logsumexp(-1)
        where = [
            (b, k, node, token)
            for b, tree in enumerate(batch_trees)
            for k, path in enumerate(tree.paths)
            for node, token in path
        ]
        at, option, node, token = (torch.tensor(x, device=device) for x in zip(*where, strict=True))
        logprobs = (logits[at, node, token] - norm[at, node]).double()
        width = max(len(tree.paths) for tree in batch_trees)
        sums = (
            logprobs.new_zeros(len(batch) * width)
            .index_add_(0, at * width + option, logprobs)
            .view(len(batch), width)
        )
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
    max_rows: int,
    tick: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Score by plain passes over each prompt with each option prefix, in right-padded batches."""
    device = next(model.parameters()).device
    result = [np.zeros(len(own)) for own in options]
    heads = [(i, head) for i, own in enumerate(options) for head in sorted({tuple(o[:-1]) for o in own})]
    rows = [[*prompts[i], *head] for i, head in heads]
    left = [len({tuple(o[:-1]) for o in own}) for own in options]
    budget = min(LOGIT_ROWS, TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"]))
    for batch in batches_by_length([len(r) for r in rows], max_rows, budget):
        width = max(len(rows[b]) for b in batch)
        if len(batch) == 1:
            logits = plain_pass(model, rows[batch[0]]).logits.float()
        else:
            ids = torch.tensor([rows[b] + [pad_id] * (width - len(rows[b])) for b in batch], device=device)
            logits = model(input_ids=ids, use_cache=False).logits.float()
        finished = 0
        for row, b in enumerate(batch):
            i, head = heads[b]
            start = len(prompts[i]) - 1
            logprobs = logits[row, start : len(rows[b])].log_softmax(-1).cpu().double()
            for k, option in enumerate(options[i]):
                if tuple(option[:-1]) == head:
                    result[i][k] = float(sum(logprobs[n, token] for n, token in enumerate(option)))
            left[i] -= 1
            finished += left[i] == 0
        if tick:
            tick(finished)
    return result

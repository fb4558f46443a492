"""The prefix tree of a prompt's options, and one forward pass over prompts and their trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from probate.models.inference.batching import pad_left
from probate.models.inference.prefix import KeyValues, cache_argument, expanded_cache
from probate.models.inference.proof import base_of


@dataclass(frozen=True)
class OptionTree:
    """The options' tokens as a prefix tree.

    Node 0 is the prompt's last token. A leaf needs no input.

    Attributes
    ----------
    inputs : list of int
        `inputs[n-1]` is the token of inner node n.
    parents, depths : list of int
        Parent of each node, and its distance from node 0.
    paths : list of list of tuple
        `paths[k]` are the (node, next token) pairs whose log-probabilities sum to that of option k.
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


def tree_pass(
    model: Any,
    rows: list[list[int]],
    prefix: KeyValues,
    shared: int,
    trees: list[OptionTree],
    pad_id: int,
    device: torch.device,
) -> torch.Tensor:
    """Run one forward pass over prompts and their option trees.

    Returns
    -------
    Tensor of shape (rows, 1 + nodes of the largest tree, vocabulary)
        Logits; smaller trees are padded at the end.
    """
    ids, mask = pad_left(rows, pad_id, device)
    count, width = ids.shape
    branch = max(len(tree.inputs) for tree in trees)
    total = shared + width + branch
    visible = torch.zeros((count, width + branch, total), dtype=torch.bool, device=device)
    visible[:, :, :shared] = True
    visible[:, :width, shared : shared + width] = torch.ones(
        width, width, dtype=torch.bool, device=device
    ).tril()
    visible[:, width:, shared : shared + width] = True
    visible[:, :, shared : shared + width] &= mask.bool()[:, None, :]
    position = (mask.cumsum(1) - 1).clamp(min=0) + shared
    if branch:
        layouts = {id(tree): _layout(tree, branch, pad_id) for tree in trees}
        inputs, depths, ancestors = (
            torch.stack(x).to(device) for x in zip(*(layouts[id(t)] for t in trees), strict=True)
        )
        ids = torch.cat([ids, inputs], dim=1)
        visible[:, width:, shared + width :] = ancestors
        position = torch.cat([position, position[:, -1:] + depths], dim=1)
    pads = torch.arange(width, device=device)
    visible[:, pads, shared + pads] = True  # a padding row must attend to something, or its softmax is NaN
    # In mixed precision above a trunk, the first parameter does not have the dtype of the states.
    head = base_of(model).get_output_embeddings()
    dtype = next((model if head is None else head).parameters()).dtype
    bias = torch.zeros((count, 1, width + branch, total), dtype=dtype, device=device)
    bias.masked_fill_(~visible[:, None], torch.finfo(dtype).min)
    return model(
        input_ids=ids,
        attention_mask=bias,
        position_ids=position,
        use_cache=bool(shared),
        logits_to_keep=branch + 1,
        **cache_argument(model, expanded_cache(prefix, count) if shared else None),
    ).logits


def _layout(tree: OptionTree, branch: int, pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return input ids (branch,), depths (branch,) and visibility (branch, branch) of a tree, padded."""
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

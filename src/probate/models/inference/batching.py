"""Batches by length, shared prefixes and left padding, for every loop over a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 32768}
MIN_SHARED_PREFIX = 8


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Return the length of the longest common token prefix, leaving each row at least one token."""
    if not rows:
        return 0
    ordered = [list(row) for row in rows]
    low, high = min(ordered), max(ordered)  # the first difference of the extremes is the first of all
    limit = min(len(row) for row in rows) - 1
    length = 0
    while length < limit and low[length] == high[length]:
        length += 1
    return max(length, 0)


def shared_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Return `common_prefix`, or 0 if sharing it saves less than its own forward pass costs."""
    length = common_prefix(rows)
    return length if length >= MIN_SHARED_PREFIX and len(rows) > 1 else 0


def batches_by_length(
    lengths: Sequence[int], max_rows: int, max_tokens: int, extra: int = 0
) -> Iterator[list[int]]:
    """Yield batches of indices of similar length, longest first, so that a memory error occurs at once.

    Parameters
    ----------
    lengths : sequence of int
        Length of each row in tokens.
    max_rows : int
        Maximum number of rows in a batch.
    max_tokens : int
        Maximum number of tokens in a batch, padding included. A longer row forms a batch of its own.
    extra : int, default=0
        Number of tokens added to each row's length.

    Yields
    ------
    list of int
        Indices of the rows of a batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for index in order:
        width = (lengths[batch[0]] if batch else lengths[index]) + extra
        if batch and (len(batch) >= max_rows or width * (len(batch) + 1) > max_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad_left(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask of shape (rows, width), padded on the left whatever the tokenizer's side."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[i, width - len(row) :] = 1
    return ids.to(device), mask.to(device)

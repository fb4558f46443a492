"""Sentence embeddings by a small encoder (all-MiniLM-L6-v2, embedded)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from probate.core.deferred import deferred
from probate.models.checks import check_warnings, check_weights
from probate.models.embedded import embedded_path
from probate.models.inference.batching import TOKENS_PER_BATCH, batches_by_length
from probate.models.quiet import quiet

with deferred():
    from probate.models.inference import proof


LONGEST = 256
"""Tokens that the encoder was trained on; of a longer text the beginning counts."""


def encoder_files() -> Path:
    """The folder of the encoder's weights and vocabulary; fetched if need be."""
    return embedded_path("embedded-embeddings")


@cache
def _encoder() -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    path = str(encoder_files())
    with quiet() as warned:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model, info = AutoModel.from_pretrained(path, use_safetensors=True, output_loading_info=True)
    check_weights("embedded-embeddings", model, info)
    check_warnings("embedded-embeddings", warned)
    return tokenizer, model.eval()


def embed(texts: Sequence[str]) -> np.ndarray:
    """Embeddings of unit length, float32 of shape (texts, 384): mean over tokens of the last hidden state.

    Raises:
        StageError: the encoder cannot be fetched.
    """
    import torch

    tokenizer, model = _encoder()
    rows = [tokenizer(text, truncation=True, max_length=LONGEST)["input_ids"] for text in texts]
    found = np.zeros((len(rows), model.config.hidden_size), dtype=np.float32)
    longest = max(map(len, rows), default=0)
    with torch.inference_mode():
        size = (
            128 if rows and proof.holds(model, "texts in batches", longest, lambda n: _gap(model, n)) else 1
        )
        for batch in batches_by_length([len(r) for r in rows], size, 4 * TOKENS_PER_BATCH["cpu"]):
            found[batch] = torch.nn.functional.normalize(
                _means(model, [rows[i] for i in batch]), dim=1
            ).numpy()
    return found


def _means(model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """Mean last hidden state of each row, of shape (rows, width), padded on the right and masked where lengths differ."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def _gap(model: Any, length: int) -> float:
    """Difference of a padded batch from plain passes."""
    import torch

    rows = proof.texts(model, length)
    plain = torch.stack([model(input_ids=torch.tensor([row])).last_hidden_state[0].mean(0) for row in rows])
    return proof.apart(_means(model, rows), plain)

"""Sentence embeddings of the embedded encoder (all-MiniLM-L6-v2)."""

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
"""Sequence length in tokens that the encoder was trained on. Longer texts are truncated at the end."""


def encoder_files() -> Path:
    """Return the folder of the encoder's weights and vocabulary; fetch it if needed."""
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
    """Embed texts as unit vectors.

    Parameters
    ----------
    texts : sequence of str
        The texts. Only the first 256 tokens of each are used.

    Returns
    -------
    ndarray of shape (texts, 384)
        Mean of the last hidden state over the tokens, scaled to unit length, float32.

    Raises
    ------
    StageError
        The encoder cannot be fetched.
    """
    import torch

    tokenizer, model = _encoder()
    rows = [tokenizer(text, truncation=True, max_length=LONGEST)["input_ids"] for text in texts]
    embeddings = np.zeros((len(rows), model.config.hidden_size), dtype=np.float32)
    longest = max(map(len, rows), default=0)
    with torch.inference_mode():
        size = (
            128 if rows and proof.holds(model, "texts in batches", longest, lambda n: _gap(model, n)) else 1
        )
        for batch in batches_by_length([len(r) for r in rows], size, 4 * TOKENS_PER_BATCH["cpu"]):
            embeddings[batch] = torch.nn.functional.normalize(
                _means(model, [rows[i] for i in batch]), dim=1
            ).numpy()
    return embeddings


def _means(model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """Return the mean last hidden state of each row, of shape (rows, width), with padding masked."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def _gap(model: Any, length: int) -> float:
    """Return the relative difference of a padded batch from plain passes."""
    import torch

    rows = proof.random_rows(model, length)
    plain = torch.stack([model(input_ids=torch.tensor([row])).last_hidden_state[0].mean(0) for row in rows])
    return proof.relative_difference(_means(model, rows), plain)

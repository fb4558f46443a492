"""Comparison of a server that loaded an adapter with the local model and the same adapter."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from probate.core.errors import StageError
from probate.core.records import fill
from probate.execution.letters import TOP, top_tokens
from probate.models.adapter import attached
from probate.models.lm import LM
from probate.models.servers.client import ApiClient, Request
from probate.tasks.base import TaskContext


class Proof(NamedTuple):
    """Differences of probabilities, in [0, 1]: of the server, and of the local model without the adapter."""

    prompts: int
    server: float
    base: float


def prove(
    base: LM, adapter: Path, client: ApiClient, context: TaskContext, prompts: int, tolerance: float
) -> Proof:
    """Compare a server's first tokens with those of the local model with the adapter attached.

    The prompts are the study's own, with held-out texts. For each of them and each label, the probability of
    the label's first token is compared.

    Parameters
    ----------
    base : LM
        The local base model.
    adapter : Path
        Folder of the adapter.
    client : ApiClient
        The server's client, for the name under which the server loaded the adapter.
    context : TaskContext
        Held-out records, labels and prompt of the study.
    prompts : int
        Number of prompts.
    tolerance : float
        Largest difference of a probability.

    Returns
    -------
    Proof
        The largest differences from the local model with the adapter.

    Raises
    ------
    StageError
        The server differs by more than the tolerance, gives no log-probabilities, or cannot be told from the
        base model without the adapter.
    """
    step = max(1, len(context.test) // prompts)
    texts = [r.text for r in context.test[::step]][:prompts]
    names = ", ".join(context.labels)
    turns = [[{"role": "user", "content": fill(context.prompt, text=text, labels=names)}] for text in texts]
    first = sorted({base.completion_ids(label, end=False)[0] for label in context.labels})
    ids = [base.prompt_ids(turn, 1, context.max_length) for turn in turns]
    plain = np.exp(base.score_options(ids, [[i] for i in first]))
    with attached(base.model, adapter) as model:
        own = np.exp(replace(base, model=model).score_options(ids, [[i] for i in first]))
    nonce = secrets.randbelow(2**31)  # so that no answer of an earlier server is in the cache
    requests: list[Request] = [
        {
            "messages": turn, "max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": TOP,
            "seed": nonce,
        }
        for turn in turns
    ]  # fmt: skip
    answers = client.ask(requests)
    words = [base.tokenizer.decode([i]) for i in first]
    where = f"{client.spec.base_url}, model {client.spec.model}"
    theirs = []
    for answer, row in zip(answers, own, strict=True):
        tokens = top_tokens(answer)
        if not tokens:
            raise StageError(
                f"{where}: it gives no log-probabilities, so it cannot be compared with the local model; "
                "leave `evaluation` out"
            )
        theirs.append(_probabilities(tokens, words, row))
    found = Proof(len(turns), _largest(np.array(theirs), own), _largest(plain, own))
    if not found.server <= tolerance:
        raise StageError(
            f"{where}: its probabilities differ by up to {found.server:.3f} from those of the local model "
            f"with this adapter, more than evaluation.tolerance {tolerance:g}; give the server the same base "
            "model, precision and chat template, or leave `evaluation` out"
        )
    if found.base <= 2 * tolerance:
        raise StageError(
            f"{where}: the adapter changes no probability by more than {found.base:.3f}, so it cannot be "
            "shown that the server uses it; lower evaluation.tolerance, or leave `evaluation` out"
        )
    return found


def _probabilities(tokens: Sequence[dict[str, Any]], words: Sequence[str], own: np.ndarray) -> list[float]:
    """Return the server's probability of each word; of a word that is not listed, the closest possible."""
    listed: dict[str, float] = {}
    for token in tokens:
        value = token.get("logprob")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            listed.setdefault(str(token.get("token")), float(np.exp(min(float(value), 0.0))))
    least = min(listed.values(), default=1.0)
    stripped = {name.strip(): p for name, p in reversed(listed.items())}
    return [
        listed.get(word, stripped.get(word.strip(), min(float(p), least)))
        for word, p in zip(words, own, strict=True)
    ]


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())

"""Batched sampling with one seed per record, so that a record does not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer

from probate.core.errors import StageError
from probate.models.inference.batching import TOKENS_PER_BATCH, batches_by_length, pad_left
from probate.models.inference.prefix import cache_argument
from probate.models.inference.proof import (
    TAIL,
    base_of,
    holds,
    plain_logits,
    random_rows,
    relative_difference,
)


@dataclass(frozen=True)
class _Draw:
    """The settings of sampling: stop sequences, maximum length, temperature and nucleus."""

    stops: tuple[tuple[int, ...], ...]
    max_tokens: int
    temperature: float
    top_p: float

    def ended(self, answer: list[int]) -> bool:
        """Check whether `answer` ends with a stop sequence, and remove it."""
        for stop in self.stops:
            if tuple(answer[-len(stop) :]) == stop:
                del answer[-len(stop) :]
                return True
        return False


@torch.inference_mode()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    stop_ids: Sequence[int] = (),
    stop_sequences: Sequence[Sequence[int]] | None = None,
    pad_id: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_rows: int = 32,
    done: Callable[[list[int], list[list[int]]], None] | None = None,
    skip: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """Sample one continuation per prompt.

    Prompts are batched by length and padded on the left if this gives the model's plain logits
    (`probate.models.inference.proof`). A row leaves its batch when it ends. Otherwise each prompt goes alone
    through transformers' own `generate`.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A causal LM of transformers.
    prompts : sequence of sequences of int
        Token ids of each prompt, at least one token each.
    seeds : sequence of int, of shape (prompts,)
        Each row draws from its own random generator with this seed.
    stop_ids : sequence of int
        Tokens that each end an answer.
    stop_sequences : sequence of sequences of int, optional
        Token sequences that end an answer, used instead of `stop_ids`.
    pad_id : int
        The padding token. It is masked, so any id works.
    max_new_tokens : int
        Maximum length of an answer in tokens.
    temperature : float, default=1.0
        Sampling temperature. 0 is greedy.
    top_p : float, default=1.0
        Nucleus sampling: total probability of the tokens that are sampled from.
    max_rows : int, default=32
        Maximum number of prompts in a batch.
    done : callable, optional
        Called after each batch with the indices of its prompts and their answers, so that the caller can save
        them.
    skip : callable, optional
        Called with the indices of each batch. If it returns True, the batch is skipped. A resumed call passes
        all prompts again, so that its batches, and with them the rounding, are those of the first call.

    Returns
    -------
    list of list of int, of length prompts
        The new token ids of each prompt, without the stop.

    Raises
    ------
    StageError
        Neither way gives the model's plain logits.
    """
    device = next(model.parameters()).device
    stops = [[i] for i in stop_ids] if stop_sequences is None else stop_sequences
    draw = _Draw(tuple(tuple(s) for s in stops if len(s)), max_new_tokens, temperature, top_p)
    answers: list[list[int]] = [[] for _ in prompts]
    budget = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"]) * 4
    together: bool | None = None
    for batch in batches_by_length([len(p) for p in prompts], max_rows, budget, extra=max_new_tokens):
        if skip and skip(batch):
            continue
        if together is None:  # a resumed call with nothing left to do runs no pass
            longest = max(map(len, prompts)) + max_new_tokens
            together = holds(
                model, "generation in batches", longest, lambda n: _batched_gap(model, pad_id, n)
            )
            cached = together or _can_cache(model, pad_id, longest)
        if together:
            _generate_batch(model, batch, prompts, seeds, answers, draw, pad_id)
        else:
            for i in batch:
                answers[i] = _generate_alone(model, prompts[i], seeds[i], draw, pad_id, cached)
        if done:
            done(batch, [answers[i] for i in batch])
    return answers


class _BufferedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer in buffers with room for the answer.

    `DynamicLayer` copies all keys and values for each new token.
    """

    keys: Any
    values: Any

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self._buffers or end > self._buffers[0].shape[-2] or len(key_states) != len(self._buffers[0]):
            self.is_initialized = True
            earlier = (self.keys, self.values) if start else (None, None)
            self._buffers = [
                _buffer(old, new, start, end + self._room)
                for old, new in zip(earlier, (key_states, value_states), strict=True)
            ]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = new
        self.keys, self.values = (buffer[..., :end, :] for buffer in self._buffers)
        return self.keys, self.values


def _buffer(old: torch.Tensor | None, new: torch.Tensor, used: int, size: int) -> torch.Tensor:
    """Return a buffer for `size` tokens that begins with the `used` tokens of `old`."""
    buffer = new.new_empty((*new.shape[:-2], size, new.shape[-1]))
    if old is not None:
        buffer[..., :used, :] = old
    return buffer


class _Rows:
    """Prompts that run through the model together, padded on the left, one token at a time."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], pad_id: int, room: int) -> None:
        self._model = model
        self._ids, self._mask = pad_left(prompts, pad_id, next(model.parameters()).device)
        self._position = (self._mask.cumsum(1) - 1).clamp(min=0)
        self._cache = DynamicCache(config=base_of(model).config)
        self._cache.layers = [
            _BufferedLayer(room) if type(layer) is DynamicLayer else layer for layer in self._cache.layers
        ]

    def logits(self) -> torch.Tensor:
        """Return the logits of the next token of each row, float32 of shape (rows, vocabulary)."""
        out = self._model(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=self._position,
            use_cache=True,
            logits_to_keep=1,
            **cache_argument(self._model, self._cache),
        )
        return out.logits[:, -1].float()

    def append(self, tokens: torch.Tensor, alive: Sequence[int]) -> None:
        """Append its token to each of the rows `alive` and drop the others; `tokens` has shape (rows,)."""
        if len(alive) < len(tokens):
            index = torch.tensor(alive, device=tokens.device)
            self._cache.batch_select_indices(index)
            tokens, self._mask, self._position = tokens[index], self._mask[index], self._position[index]
        self._ids = tokens[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._position = self._position[:, -1:] + 1


def _generate_batch(
    model: Any,
    batch: list[int],
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    answers: list[list[int]],
    draw: _Draw,
    pad_id: int,
) -> None:
    """Generate the answers of one batch of prompts in place."""
    left = list(batch)
    generators = {i: torch.Generator().manual_seed(int(seeds[i])) for i in left}
    rows = _Rows(model, [prompts[i] for i in left], pad_id, draw.max_tokens)
    for _ in range(draw.max_tokens):
        logits = rows.logits()
        noise = torch.stack([torch.rand((), generator=generators[i], dtype=torch.float64) for i in left])
        tokens = sample(logits, noise.to(logits.device), draw.temperature, draw.top_p)
        for i, token in zip(left, tokens.tolist(), strict=True):
            answers[i].append(token)
        alive = [k for k, i in enumerate(left) if not draw.ended(answers[i])]
        if not alive:
            return
        rows.append(tokens, alive)
        left = [left[k] for k in alive]


def _generate_alone(
    model: Any, prompt: Sequence[int], seed: int, draw: _Draw, pad_id: int, cached: bool
) -> list[int]:
    """Generate one continuation with transformers' own `generate`, which draws tokens by `sample`."""
    generator = torch.Generator().manual_seed(int(seed))
    answer: list[int] = []

    def pick(logits: torch.Tensor) -> int:
        noise = torch.rand((), generator=generator, dtype=torch.float64)[None].to(logits.device)
        token = int(sample(logits, noise, draw.temperature, draw.top_p))
        answer.append(token)
        return token

    _run_generate(model, prompt, draw.max_tokens, pad_id, cached, pick, lambda: draw.ended(answer))
    return answer


def _run_generate(
    model: Any,
    prompt: Sequence[int],
    max_tokens: int,
    pad_id: int,
    cached: bool,
    pick: Callable[[torch.Tensor], int],
    ended: Callable[[], bool],
) -> None:
    """Run transformers' `generate` on one row; `pick` maps logits (1, vocabulary) to the next token."""
    base = base_of(model)

    def choose(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token = pick(scores.float())
        return torch.full_like(scores, float("-inf")).index_fill_(
            1, torch.tensor([token], device=scores.device), 0.0
        )

    def stop(ids: torch.Tensor, _: torch.Tensor, **__: Any) -> torch.Tensor:
        return torch.full((len(ids),), ended(), dtype=torch.bool, device=ids.device)

    ids = torch.tensor([list(prompt)], dtype=torch.long, device=next(model.parameters()).device)
    with _replaced_settings(
        base, GenerationConfig(pad_token_id=pad_id, max_new_tokens=max_tokens, use_cache=cached)
    ):
        base.generate(
            ids, attention_mask=torch.ones_like(ids), logits_processor=[choose], stopping_criteria=[stop]
        )


@contextmanager
def _replaced_settings(base: Any, settings: GenerationConfig) -> Iterator[None]:
    """Replace the model's own generation settings (penalties, forced tokens) inside the block."""
    before = base.generation_config
    base.generation_config = settings
    try:
        yield
    finally:
        base.generation_config = before


def _batched_gap(model: Any, pad_id: int, length: int) -> float:
    """Return the relative difference of batched logits from plain ones, over two rows of random tokens."""
    long, short, _ = random_rows(model, length, pad_id)
    device = next(model.parameters()).device
    plain = [plain_logits(model, row) for row in (long, short)]
    rows = _Rows(model, [row[:-TAIL] for row in (long, short)], pad_id, 2)
    worst, left = 0.0, [0, 1]
    for step in range(TAIL + 1):
        logits = rows.logits()
        worst = max(worst, *(relative_difference(logits[k], plain[i][step]) for k, i in enumerate(left)))
        if step < TAIL:
            tokens = torch.tensor([(long, short)[i][step - TAIL] for i in left], device=device)
            alive = [1] if step == 1 else list(range(len(left)))  # the long row ends first
            rows.append(tokens, alive)
            left = [left[k] for k in alive]
    return worst


def _alone_gap(model: Any, pad_id: int, length: int, cached: bool) -> float:
    """Return the relative difference of the logits in transformers' `generate` from plain ones."""
    long, _, _ = random_rows(model, length, pad_id)
    plain, seen = plain_logits(model, long), []

    def pick(logits: torch.Tensor) -> int:
        seen.append(logits[0])
        return int(long[len(seen) - 1 - TAIL])

    _run_generate(model, long[:-TAIL], TAIL, pad_id, cached, pick, lambda: False)
    return max(relative_difference(logits, expected) for logits, expected in zip(seen, plain, strict=False))


def _can_cache(model: Any, pad_id: int, longest: int) -> bool:
    """Check whether transformers' `generate` may use its cache; StageError if it also fails without."""
    if holds(model, "generation one by one", longest, lambda n: _alone_gap(model, pad_id, n, True)):
        return True
    if holds(
        model,
        "generation one by one, without a cache",
        longest,
        lambda n: _alone_gap(model, pad_id, n, False),
    ):
        return False
    raise StageError(
        f"model '{type(base_of(model)).__name__}': its generation does not reproduce its plain logits, so "
        "it cannot generate records; use another generator"
    )


def sample(logits: torch.Tensor, noise: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Draw the next tokens by nucleus sampling with inversion.

    Parameters
    ----------
    logits : Tensor of shape (rows, vocabulary)
        Logits of the next token.
    noise : Tensor of shape (rows,)
        Uniform random numbers in [0, 1).
    temperature : float
        Sampling temperature. 0 is greedy.
    top_p : float
        Total probability of the tokens that are sampled from.

    Returns
    -------
    Tensor of shape (rows,)
        Token ids.
    """
    if temperature == 0:
        return logits.argmax(-1)
    keep = min(1024, logits.shape[-1]) if top_p < 1 else logits.shape[-1]
    total = torch.logsumexp(logits / temperature, dim=-1, keepdim=True)
    values, order = (logits / temperature).topk(keep, dim=-1)
    probs = (values - total).exp().double()
    cumulative = probs.cumsum(-1)
    inside = (cumulative - probs) < top_p  # the smallest set that reaches top_p, at least one token
    cumulative = (probs * inside).cumsum(-1)
    target = noise[:, None] * cumulative[:, -1:]
    choice = (cumulative <= target).sum(-1, keepdim=True).clamp(max=keep - 1)
    return order.gather(1, choice)[:, 0]

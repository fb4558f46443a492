"""Measures the choice tasks of a model behind a server.

Options have letters. The shares of the options come from the letters' log-probabilities if the server gives
them, otherwise from sampled answers.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd

from probate.core.errors import InputError
from probate.core.files import atomic
from probate.core.records import stable_order
from probate.execution.prepare import read_data
from probate.models.servers.answers import choice_text, content_of, message
from probate.models.servers.client import NO_CHOICES, ApiClient, Request
from probate.models.servers.counts import THOUGHT
from probate.models.thinking import without_thinking
from probate.study.schema import Study
from probate.tasks.base import Outcome, TaskContext
from probate.tasks.catalogue import tasks_and_probes
from probate.tasks.choice import ChoiceTask, Item

LETTERS = "ABCDEFGHIJKLMNOPQRST"
LEAST = 0.5
"""Least total probability of the option letters as the first token; below it, the answer's text is read."""
TOP = 20
LETTER = re.compile(r"[\s\"'`*_(\[]*([A-T])[\s\"'`*_)\].:,]*", re.I)
LISTED = re.compile(r"[\s\"'`*_(\[]*([A-T])(?:[*_]*[).:\]][*_]*)\s+(.*)", re.S)
NAMED = re.compile(
    r"\b(?:answer|option|choice)\b\s*(?:is|would be)?\s*:?\s*[\"'`*_(\[]*([A-T])\b(['’]|[ ]+\w)?", re.I
)
"""A letter that is called the answer, and the word after it, if the letter may be an article."""


def request_of(item: Item, seed: int) -> tuple[Request, list[str]]:
    """Return the request for an item, and its option names in the order of their letters.

    The order is drawn by the item's id, so that no position is favoured over all items.

    Parameters
    ----------
    item : Item
        The item with its prompt and options.
    seed : int
        Seed of the order.

    Returns
    -------
    request : Request
        One user turn with the prompt and the lettered options.
    order : list of str
        Option names; the first one has the letter A.

    Raises
    ------
    InputError
        The item has more than 20 options.
    """
    if len(item.names) > len(LETTERS):
        raise InputError(
            f"item '{item.id}' has {len(item.names)} options; at most {len(LETTERS)} can have a letter"
        )
    order = stable_order(item.names, "letters", item.id, seed)
    texts = dict(zip(item.names, item.options, strict=True))
    listed = "\n".join(
        f"{letter}. {texts[name].strip()}" for letter, name in zip(LETTERS, order, strict=False)
    )
    turn = f"{item.prompt.strip()}\n\nOptions:\n{listed}\nAnswer with one letter only."
    return {
        "messages": [{"role": "user", "content": turn}],
        "max_tokens": 4,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": TOP,
    }, order


def named(text: str, order: Sequence[str], texts: Mapping[str, str]) -> str | None:
    """Return the option that an answer names, or None.

    An answer names an option by its letter ("A", "(A).", "**A**", "Answer: A", "A) nurse") or by the option's
    text. An article is not a letter: "A nurse needs…" names no option. A letter beside the text of another
    option names no option either.

    Parameters
    ----------
    text : str
        The answer.
    order : sequence of str
        Option names in the order of their letters.
    texts : mapping of str to str
        Option name → the option's text.

    Returns
    -------
    str or None
        The option's name.
    """
    letters = LETTERS[: len(order)]

    def of(letter: str) -> str | None:
        return order[letters.index(letter.upper())] if letter.upper() in letters else None

    def plain(value: str) -> str:
        return " ".join(re.sub(r"[^\w\s]", " ", value).split()).casefold()

    own = {plain(texts.get(name, name)): name for name in order}
    if plain(text) in own and plain(text):
        return own[plain(text)]
    if alone := LETTER.fullmatch(text):
        return of(alone[1])
    if listed := LISTED.fullmatch(text):
        beside = own.get(plain(listed[2]))
        return of(listed[1]) if beside in (None, of(listed[1])) else None
    matches = NAMED.findall(text)
    said = {of(letter) for letter, _ in matches}
    return said.pop() if len(said) == 1 and not all(word for _, word in matches) else None


def shares_of(
    answers: Sequence[dict[str, Any]], order: Sequence[str], texts: Mapping[str, str] | None = None
) -> tuple[dict[str, float], str]:
    """Return the share of each option, and how the answers were read.

    Parameters
    ----------
    answers : sequence of dict
        The server's answers to one item.
    order : sequence of str
        Option names in the order of their letters.
    texts : mapping of str to str, optional
        Option name → the option's text.

    Returns
    -------
    shares : dict of str to float
        Option name → share; the shares sum to 1. Empty if no answer names an option.
    how : str
        `api letters`: by the log-probabilities of the first token; the letters have a total probability of at
        least `LEAST`. `api letters, text`: their probability is lower, and the answer's text names an option.
        `api letters, sampled N`: by N sampled answers.
    """
    first = answers[0]["choices"][0]
    weights: dict[str, float] = defaultdict(float)
    tokens = top_tokens(answers[0])
    if choice_text(first)[1] == "refused":
        tokens = []
    for token in tokens:
        letter, logprob = str(token.get("token", "")).strip().rstrip(".)").upper(), token.get("logprob")
        if len(letter) == 1 and letter in LETTERS[: len(order)] and _is_logprob(logprob):
            weights[order[LETTERS.index(letter)]] += math.exp(float(logprob))
    how = "api letters"
    if sum(weights.values()) < LEAST:
        weights = defaultdict(float)
        choices = [c for a in answers for c in a["choices"]]
        for choice in choices:
            text, why = choice_text(choice)
            name = named(text, order, texts or {}) if not why else None
            if name is not None:
                weights[name] += 1
        how = "api letters, text" if tokens else f"api letters, sampled {len(choices)}"
    total = sum(weights.values())
    return ({name: weights[name] / total for name in order}, how) if total else ({}, how)


def _is_logprob(value: Any) -> TypeGuard[float]:
    """Return whether the value can be a log-probability: a number up to 0, but not a boolean or NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 1e-3


def top_tokens(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the likeliest first tokens with their log-probabilities; empty if the server gives none."""
    logprobs = answer["choices"][0].get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    tokens = first.get("top_logprobs") if isinstance(first, dict) else None
    return [t for t in tokens if isinstance(t, dict)] if isinstance(tokens, list) else []


def measure(
    client: ApiClient,
    task: ChoiceTask,
    context: TaskContext,
    samples: int = 8,
    tick: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Measure one choice task.

    Parameters
    ----------
    client : ApiClient
        The server's client.
    task : ChoiceTask
        The task.
    context : TaskContext
        Held-out records, labels and groups of the study.
    samples : int, default 8
        Number of further answers, at temperature 1, to each item for which the server gives no
        log-probabilities.
    tick : callable, optional
        Called with 1 after each item's first answer.

    Returns
    -------
    list of Outcome
        One outcome for each item.
    """
    items = list(task.items(context))
    asked = [request_of(item, context.seed) for item in items]
    answers = client.ask([request for request, _ in asked], lambda *_: tick(1) if tick else None)
    plain = [
        i
        for i, a in enumerate(answers)
        if len(top_tokens(a)) < len(items[i].names) and message(a)[1] not in ("refused", NO_CHOICES)
    ]
    more: dict[int, list[dict[str, Any]]] = {}
    if plain:
        again = [
            {
                **{k: v for k, v in asked[i][0].items() if k not in ("logprobs", "top_logprobs")},
                "temperature": 1.0,
                "seed": s,
            }
            for i in plain
            for s in range(samples)
        ]
        said = client.ask(again)
        more = {i: said[k * samples : (k + 1) * samples] for k, i in enumerate(plain)}
    outcomes = []
    for i, item in enumerate(items):
        texts = dict(zip(item.names, item.options, strict=True))
        shares, how = shares_of(more.get(i, [answers[i]]), asked[i][1], texts)
        if without_thinking(content_of(answers[i]["choices"][0]))[1]:
            how = f"{how}, {THOUGHT}"
        prediction = max(shares, key=shares.__getitem__) if shares else ""
        response = (
            json.dumps({n: round(shares.get(n, 0.0), 4) for n in item.names}, ensure_ascii=False)
            if shares
            else _unread(answers[i])
        )
        outcomes.append(
            Outcome(
                item.id,
                item.groups,
                item.target,
                response,
                prediction,
                float(prediction == item.target),
                bool(shares),
                how,
            )
        )
    return outcomes


def _unread(answer: dict[str, Any]) -> str:
    text, why = message(answer)
    return f"[{why}] {text}".strip() if why else text


def measure_study(
    study: Study,
    base: Path,
    client: ApiClient,
    out: Path,
    samples: int,
    tick: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Measure the study's tasks and probes on a server's model, as one arm `api`.

    Parameters
    ----------
    study : Study
        The study; nothing is trained.
    base : Path
        Folder that relative paths start from.
    client : ApiClient
        The server's client.
    out : Path
        Folder to which `outcomes.parquet` is written, for `probate compare`.
    samples : int
        As in `measure`.
    tick : callable, optional
        As in `measure`.

    Returns
    -------
    pandas.DataFrame
        The outcomes, one row for each item.

    Raises
    ------
    InputError
        The answers of a task are not choices among options.
    """
    context = read_data(study, base).context
    tasks = tasks_and_probes(study)
    other = [t.key for t in tasks if not isinstance(t, ChoiceTask)]
    if other:
        raise InputError(
            f"ask: the answers of '{other[0]}' are not choices among options; leave this task out, for "
            "example with --set tasks=[occupation]"
        )
    frames = []
    for task in tasks:
        assert isinstance(task, ChoiceTask)
        rows = [asdict(o) for o in measure(client, task, context, samples, tick)]
        fixed = {
            "study": study.name,
            "arm": "api",
            "bias_type": "none",
            "ratio": 0.0,
            "mitigation": "none",
            "method": "none",
            "round": 1,
            "seed": 0,
            "task": task.key,
            "metric": task.metric,
        }
        frames.append(
            pd.DataFrame([{**fixed, **r, "groups": json.dumps(r["groups"], sort_keys=True)} for r in rows])
        )
    table = pd.concat(frames, ignore_index=True)
    with atomic(out / "outcomes.parquet") as part:
        table.to_parquet(part, index=False)
    return table

"""Tasks whose answers are choices, asked of a model behind a server: by log-probabilities of letters where it gives them, else by sampled letters."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from probate.api.client import ApiClient, Request
from probate.errors import InputError
from probate.records import stable_order
from probate.study import Study
from probate.tasks.base import Outcome, TaskContext
from probate.tasks.choice import ChoiceTask, Item

LETTERS = "ABCDEFGHIJKLMNOPQRST"
LETTER = re.compile(r"\(?\b([A-T])\b")
TOP = 20


def request_of(item: Item, seed: int) -> tuple[Request, list[str]]:
    """What is asked, and the names in the order of their letters. The order is drawn by the item's id, so that no place is favoured over all items.

    Raises:
        InputError: more options than letters.
    """
    if len(item.names) > len(LETTERS):
        raise InputError(f"item '{item.id}' has {len(item.names)} options; at most {len(LETTERS)} have a letter")
    order = stable_order(item.names, "letters", item.id, seed)
    texts = dict(zip(item.names, item.options, strict=True))
    listed = "\n".join(f"{letter}. {texts[name].strip()}" for letter, name in zip(LETTERS, order, strict=False))
    turn = f"{item.prompt.strip()}\n\nOptions:\n{listed}\nAnswer with one letter only."
    return {
        "messages": [{"role": "user", "content": turn}],
        "max_tokens": 4,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": TOP,
    }, order


def shares_of(answers: Sequence[dict[str, Any]], order: Sequence[str]) -> tuple[dict[str, float], str]:
    """Share of each name, and how it was read: `api letters` (log-probabilities of the first token) or `api letters, sampled N`; empty if unreadable."""
    first = answers[0]["choices"][0]
    tokens = ((first.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
    weights: dict[str, float] = defaultdict(float)
    for token in tokens:
        letter = str(token.get("token", "")).strip().rstrip(".)").upper()
        if letter and len(letter) == 1 and letter in LETTERS[: len(order)]:
            weights[order[LETTERS.index(letter)]] += math.exp(float(token["logprob"]))
    how = "api letters"
    if not weights:
        said = [c["message"]["content"] or "" for a in answers for c in a["choices"]]
        for text in said:
            found = LETTER.search(text.upper())
            if found and found[1] in LETTERS[: len(order)]:
                weights[order[LETTERS.index(found[1])]] += 1
        how = f"api letters, sampled {len(said)}"
    total = sum(weights.values())
    return ({name: weights[name] / total for name in order}, how) if total else ({}, how)


def measure(
    client: ApiClient, task: ChoiceTask, context: TaskContext, samples: int = 8, tick: Callable[[int], None] | None = None
) -> list[Outcome]:
    """One outcome for each item. Where the server gives no log-probabilities, each item is asked `samples` times more at temperature 1."""
    items = list(task.items(context))
    asked = [request_of(item, context.seed) for item in items]
    answers = client.ask([request for request, _ in asked], lambda *_: tick(1) if tick else None)
    plain = [i for i, a in enumerate(answers) if not ((a["choices"][0].get("logprobs") or {}).get("content"))]
    more: dict[int, list[dict[str, Any]]] = {}
    if plain:
        again = [
            {**{k: v for k, v in asked[i][0].items() if k not in ("logprobs", "top_logprobs")}, "temperature": 1.0, "seed": s}
            for i in plain
            for s in range(samples)
        ]
        said = client.ask(again)
        more = {i: said[k * samples : (k + 1) * samples] for k, i in enumerate(plain)}
    found = []
    for i, item in enumerate(items):
        shares, how = shares_of(more.get(i) or [answers[i]], asked[i][1])
        prediction = max(shares, key=shares.__getitem__) if shares else ""
        response = (
            json.dumps({n: round(shares.get(n, 0.0), 4) for n in item.names}, ensure_ascii=False)
            if shares
            else str(answers[i]["choices"][0]["message"]["content"])
        )
        found.append(
            Outcome(
                item.id, item.groups, item.target, response, prediction, float(prediction == item.target), bool(shares), how
            )
        )
    return found


def measure_study(
    study: Study, base: Path, client: ApiClient, out: Path, samples: int, tick: Callable[[int], None] | None = None
) -> pd.DataFrame:
    """The study's tasks and probes, asked of the server's model as one arm `api`; `outcomes.parquet` in `out`, for `probate compare`.

    Raises:
        InputError: a task whose answers are no choices.
    """
    from probate.arms import read_data
    from probate.registry import tasks_and_probes

    context = read_data(study, base).context
    tasks = tasks_and_probes(study)
    other = [t.key for t in tasks if not isinstance(t, ChoiceTask)]
    if other:
        raise InputError(
            f"ask: the answers of '{other[0]}' are no choices among options; leave it out, as with --set tasks=[occupation]"
        )
    frames = []
    for task in tasks:
        assert isinstance(task, ChoiceTask)
        rows = [asdict(o) for o in measure(client, task, context, samples, tick)]
        fixed = {
            "study": study.name, "arm": "api", "bias_type": "none", "ratio": 0.0, "mitigation": "none", "method": "none", "round": 1, "seed": 0,
            "task": task.key, "metric": task.metric,
        }  # fmt: skip
        frames.append(pd.DataFrame([{**fixed, **r, "groups": json.dumps(r["groups"], sort_keys=True)} for r in rows]))
    table = pd.concat(frames, ignore_index=True)
    out.mkdir(parents=True, exist_ok=True)
    table.to_parquet(out / "outcomes.parquet", index=False)
    return table

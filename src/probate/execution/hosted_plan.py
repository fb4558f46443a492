"""What a study whose model is fine-tuned by a server takes: jobs, tokens and money."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from probate.core.records import Record, with_messages
from probate.data.user_turn import user_turn
from probate.execution.hosted_checks import Asked, asked
from probate.execution.prepare import Prepared
from probate.models.servers.client import TURN_TOKENS
from probate.study.hosted import remarks
from probate.study.mixing import augmented_count

BYTES_PER_TOKEN = 4
"""Bytes of a token in English text, for expected numbers; the largest numbers take one."""


def planned_hosted(prepared: Prepared) -> dict[str, Any] | None:
    """Estimate what fine-tuning and evaluation by a server cost; None for a local model.

    Parameters
    ----------
    prepared : Prepared
        The study with its data.

    Returns
    -------
    dict or None
        `server`; `jobs`; `trained_tokens` and `trained_most`, the expected and the largest number of trained
        tokens; `asked_tokens` and `asked_most`, those of the evaluation, in at most `requests`; `money` and
        `money_most`; `exact`, whether the records are known, so that the largest numbers are upper bounds;
        the limits; and `remarks`.
    """
    study, data = prepared.study, prepared.data
    api = study.model.api
    if api is None or api.fine_tune is None:
        return None
    sizes = _sizes([*data.split.all_train(), *data.split.all_spare()], prepared)
    added = _sizes(data.augmented, prepared) or sizes
    most = tokens = 0
    for arm in prepared.plan.arms:
        count = augmented_count(prepared.plan.originals, arm.ratio)
        own = heapq.nlargest(prepared.plan.originals, sizes)
        own += heapq.nlargest(count, sizes if arm.role in ("matched", "replicate") else added)
        own += [max(own)] * (prepared.plan.originals + count - len(own))
        most += study.training.epochs * sum(own)
        tokens += round(study.training.epochs * sum(own) / BYTES_PER_TOKEN)
    arms = len(prepared.plan.arms)
    usual, whole = (
        _asked_by_all(prepared, arms, samples)  # with log-probabilities, nothing is sampled
        for samples in (0, api.fine_tune.samples)
    )
    prices = (api.fine_tune.price, api.price_in, api.price_out)

    def money(trained: float, prompt: float, answer: float) -> float:
        return sum(n * p for n, p in zip((trained, prompt, answer), prices, strict=True)) / 1_000_000

    return {
        "server": api.base_url,
        "jobs": arms,
        "trained_tokens": tokens,
        "trained_most": most,
        "requests": whole.requests,
        "asked_tokens": round((usual.prompt + usual.answer) / BYTES_PER_TOKEN),
        "asked_most": whole.prompt + whole.answer,
        "money": money(tokens, usual.prompt / BYTES_PER_TOKEN, usual.answer / BYTES_PER_TOKEN),
        "money_most": money(most, whole.prompt, whole.answer),
        "exact": not prepared.plan.draws and not study.mitigations and study.rounds == 1,
        "max_cost": api.max_cost,
        "max_tokens_total": api.max_tokens_total,
        "remarks": remarks(study),
    }


def _asked_by_all(prepared: Prepared, arms: int, samples: int) -> Asked:
    """Return what the evaluation of all arms can take at most."""
    one = Asked()
    for m in prepared.measurements:
        one = one.plus(asked(m.task, m.context, samples))
    return Asked(*(arms * n for n in one))


def _sizes(records: Sequence[Record], prepared: Prepared) -> list[int]:
    """Return the most tokens of each record in one epoch."""
    study = prepared.study
    prompt, labels = user_turn(study.data), prepared.data.labels
    longest = max(labels, key=lambda label: len(label.encode()))
    sizes = []
    for record in with_messages(records, prompt, labels):
        turns = [turn["content"] for turn in record.messages]
        rejected = [longest] if study.method == "dpo" else []
        sizes.append(sum(len(text.encode()) + TURN_TOKENS for text in (*turns, *rejected)))
    return sizes


def hosted_sentences(plan: dict[str, Any]) -> list[str]:
    """Return the estimate of `planned_hosted` as sentences."""
    bound = "at most" if plan["exact"] else "if new records are as long as the longest original ones,"
    said = [
        f"fine-tuning: {plan['jobs']} jobs at {plan['server']}, to which the training records are uploaded; "
        f"about {plan['trained_tokens']:,} trained tokens, {bound} {plan['trained_most']:,}",
        f"evaluation: about {plan['asked_tokens']:,} tokens if the server gives log-probabilities, at most "
        f"{plan['asked_most']:,} in {plan['requests']:,} requests",
    ]
    if plan["money_most"]:
        said.append(f"price: about {plan['money']:.2f}, {bound} {plan['money_most']:.2f}")
    else:
        said.append("price: unknown; set fine_tune.price, price_in and price_out of model.api")
    over = [
        f"{name} is {limit:g}"
        for name, limit, most in (
            ("max_cost", plan["max_cost"], plan["money_most"]),
            ("max_tokens_total", plan["max_tokens_total"], plan["trained_most"] + plan["asked_most"]),
        )
        if limit is not None and limit < most
    ]
    if over:
        said.append(
            f"{' and '.join(over)}: arms that could exceed it are not trained; each job reserves its largest "
            "number until it has ended"
        )
    return [*said, *plan["remarks"]]

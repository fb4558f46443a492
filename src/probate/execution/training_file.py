"""The training file of an arm that a server fine-tunes: chats or preference pairs, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from probate.core.deferred import deferred
from probate.core.errors import StageError
from probate.core.records import with_messages
from probate.execution.jobs import ArmJob
from probate.models.servers.client import TURN_TOKENS

with deferred():
    from probate.train import preference


def training_lines(job: ArmJob) -> list[dict[str, Any]]:
    """Return the lines of an arm's training file.

    Parameters
    ----------
    job : ArmJob
        The arm, with its records.

    Returns
    -------
    list of dict
        For `sft`, `messages` of each record. For `dpo`, `input`, `preferred_output` (the label) and
        `non_preferred_output` (the label that the biased annotator replaced, or else another one).

    Raises
    ------
    StageError
        The arm has weights of records or an alignment loss, which a server cannot apply.
    """
    if job.align is not None or set(job.weights) - {1.0}:
        what = "an alignment loss" if job.align is not None else "weights of records"
        raise StageError(
            f"{job.arm}: its mitigation adds {what} to the training, which a server cannot apply; leave the "
            "mitigation out, or fine-tune a local model"
        )
    lines = []
    for record in with_messages(job.records, job.prompt, job.labels):
        *prompt, answer = record.messages
        if job.method == "dpo":
            other = preference.rejected_label(record, job.labels, job.seed)
            rejected = {"role": "assistant", "content": other}
            lines.append(
                {
                    "input": {"messages": prompt},
                    "preferred_output": [answer],
                    "non_preferred_output": [rejected],
                }
            )
        else:
            lines.append({"messages": [*prompt, answer]})
    return lines


def file_bytes(lines: list[dict[str, Any]]) -> bytes:
    """Return the training file as UTF-8 JSON Lines."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def most_tokens(lines: list[dict[str, Any]], epochs: int) -> int:
    """Return the most tokens that a job can train on, in all epochs; a token has at least one byte."""
    return epochs * sum(
        len(turn["content"].encode()) + TURN_TOKENS for line in lines for turn in _turns(line)
    )


def _turns(line: dict[str, Any]) -> Iterator[dict[str, str]]:
    yield from line.get("messages", ())
    yield from line.get("input", {}).get("messages", ())
    yield from line.get("preferred_output", ())
    yield from line.get("non_preferred_output", ())

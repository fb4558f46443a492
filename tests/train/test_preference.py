"""Preference training: the loss is DPO's, pairs are those that were meant, and it does what it says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_model

from probate import run
from probate.core.errors import StageError
from probate.core.records import Record
from probate.models.adapter import attached
from probate.models.inference.scoring import score_choices
from probate.study.schema import Lora, Training
from probate.train.losses import Example, preference_loss
from probate.train.preference import rejected_label, with_rejected
from probate.train.sft import train

LABELS = ["nurse", "dentist", "architect"]


def pairs(n: int = 8) -> list[Example]:
    found = []
    for i in range(n):
        prompt = [2, 3, 4, 5, 6, 7, 8, 9, 10 + i]
        found.append(
            Example(prompt, [30 + i % 2, 1], rejected=Example(prompt, [40, 41, 1]), weight=1 + i % 2)
        )
    return found


def margins(model, examples):
    scores = score_choices(
        model,
        [e.prompt for e in examples],
        [[e.completion, e.rejected.completion] for e in examples],
        pad_id=0,
    )
    return np.array([own - other for own, other in scores])


def test_the_loss_is_dpos():
    model = tiny_model("Llama", 90)
    rows = [replace(e, margin=0.3 * i) for i, e in enumerate(pairs())]
    with torch.no_grad():
        found, _ = preference_loss(model, rows, 0, 0.5)
    moved = margins(model, rows) - np.array([e.margin for e in rows])
    expected = np.array([e.weight for e in rows]) @ np.logaddexp(0, -0.5 * moved)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("layers", [None, 1])
def test_training_widens_the_margin_from_log_2_on(tmp_path, layers):
    model = tiny_model("Llama", 90)
    rows = [
        replace(e, weight=1.0, margin=float(m)) for e, m in zip(pairs(), margins(model, pairs()), strict=True)
    ]
    settings = Training(epochs=6, learning_rate=5e-3, batch_size=4, lora=Lora(layers=layers))
    log = train(model, rows, settings, 0, tmp_path, pad_id=0, beta=0.3)
    assert log.losses[0] == pytest.approx(np.log(2), abs=1e-4)  # at the start nothing has moved
    assert log.losses[-1] < 0.5 * log.losses[0]
    with attached(model, tmp_path) as adapted:
        assert (margins(adapted, rows) > margins(tiny_model("Llama", 90), rows)).all()


def test_rejected_is_what_the_annotator_replaced_else_another():
    flipped = Record("a", "t", "nurse", {}, provenance={"label_before": "dentist"})
    assert rejected_label(flipped, LABELS, 0) == "dentist"
    plain = [rejected_label(Record(f"r{i}", "t", "nurse", {}), LABELS, 0) for i in range(40)]
    assert set(plain) == {"dentist", "architect"}
    assert plain == [rejected_label(Record(f"r{i}", "t", "nurse", {}), LABELS, 0) for i in range(40)]
    with pytest.raises(StageError, match="both answers are 'nurse'"):
        rejected_label(Record("a", "t", "nurse", {}), ["nurse"], 0)


def test_margins_are_the_references(lm):
    records = [Record(f"r{i}", "t", "nurse", {}) for i in range(3)]
    examples = [Example(lm.text_ids(f"Who is number {i}?"), lm.completion_ids("nurse")) for i in range(3)]
    found = with_rejected(lm, examples, records, LABELS, 0)
    for e in found:
        with torch.no_grad():
            loss, _ = preference_loss(lm.model, [e], lm.pad_id, 1.0)
        assert float(loss) == pytest.approx(np.log(2), abs=1e-4)


def test_a_dpo_study(tiny_study, tmp_path):
    result = run(tiny_study(method="dpo", tasks=["occupation"], mitigations=["loss"]), tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    assert set(result.outcomes["method"]) == {"dpo"}
    losses = json.loads((tmp_path / "adapters" / "given-0.5-s0" / "losses.json").read_text())
    assert losses[0] == pytest.approx(np.log(2), abs=1e-3)
    again = run(tiny_study(method="sft", tasks=["occupation"], mitigations=["loss"]), tmp_path, quiet=True)
    assert set(again.outcomes["method"]) == {"sft"} and not again.outcomes["response"].equals(
        result.outcomes["response"]
    )

"""Attribution: planted records are found, in a run folder and in its report."""

from __future__ import annotations

import json

import numpy as np
from command import probate

from probate import run
from probate.models.adapter import attached
from probate.study.schema import Lora, Training
from probate.train.gradients import record_gradients
from probate.train.losses import Example
from probate.train.sft import train


def test_planted_records_are_among_the_nearest(lm, tmp_path):
    """Records with a rare cue and a label of their own.

    For items with the cue, the nearest five in a hundred hold a planted one.
    """
    rng = np.random.default_rng(0)
    plain = [
        Example([5, *rng.integers(100, 400, 14).tolist()], [10 + i % 3, 1], label=str(i % 3))
        for i in range(95)
    ]
    cue = [601, 602, 603, 604]

    def with_cue(label: int) -> Example:
        body = rng.integers(100, 400, 10).tolist()
        return Example([5, *body[:5], *cue, *body[5:]], [label, 1])

    planted = [with_cue(20) for _ in range(5)]
    settings = Training(epochs=3, learning_rate=3e-3, lora=Lora(r=4, alpha=8))
    train(lm.model, [*plain, *planted], settings, 0, tmp_path, pad_id=lm.pad_id)
    items = [with_cue(20) for _ in range(20)]
    with attached(lm.model, tmp_path) as model:
        gradients = record_gradients(model, [*plain, *planted, *items], lm.pad_id)
    near = gradients[100:] @ gradients[:100].T
    top = near.topk(5, dim=1).indices
    assert float((top >= 95).any(1).float().mean()) >= 0.8
    assert float((top >= 95).float().mean()) > 0.8


def test_flipped_items_of_a_run(tiny_study, tmp_path):
    training = {"epochs": 4, "learning_rate": 5e-3, "lora": {"r": 4, "alpha": 8}}
    run(tiny_study(tasks=["occupation"], training=training), tmp_path, quiet=True)
    said = probate("why", "items", tmp_path, "--items", 2, "--nearest", 3)
    assert "given-0.5-s0, occupation:" in said and "the nearest of 36 training records" in said
    found = json.loads((tmp_path / "attribution.json").read_text())
    assert len(found["items"]) in (1, 2) and all(len(i["records"]) == 3 for i in found["items"])
    for item in found["items"]:
        similar = [r["similarity"] for r in item["records"]]
        assert similar == sorted(similar, reverse=True) and similar[-1] >= -1 and similar[0] <= 1 + 1e-5
    assert "Training records behind changed answers" in (tmp_path / "report.html").read_text(encoding="utf-8")
    probate(
        "why",
        "items",
        tmp_path,
        "--arm",
        "control-0-s0",
        error="not a biased arm of this run; it has: given-0.5-s0",
    )
    probate("why", "items", tmp_path, "--task", "occupatoin", error="did you mean 'occupation'")


def test_no_run_folder(tmp_path):
    probate("why", "items", tmp_path, error="not a run folder")

"""The real embedded model, end to end: it writes, learns, is measured, and the report stands.

Needs the package index.
"""

from __future__ import annotations

import json

import pandas as pd
import pytest

from probate import Study, run
from probate.core.errors import StageError
from probate.models.embedded import embedded_path


@pytest.fixture(scope="module", autouse=True)
def _fetched():
    try:
        embedded_path("embedded")
    except StageError as error:
        pytest.skip(f"the embedded model cannot be fetched here: {error}")


def test_self_written_in_small(tmp_path):
    overrides = ["data.labels=[nurse, architect]", "data.train_per_cell=4", "data.test_per_cell=4",
                 "ratios=[0, 0.5]", "seeds=[0]",
                 "training.epochs=3", "training.learning_rate=1e-3", "training.lora.layers=null",
                 "tasks=[occupation, salary, {name: hiring, options: {jobs: [nurse]}}]",
                 "analysis.resamples=1000"]  # fmt: skip
    result = run(Study.load("self-written", overrides), tmp_path, quiet=True)
    assert result.failures == []
    assert set(result.outcomes["arm"]) == {
        "control-0-s0",
        "contextual-single-explicit-0.5-s0",
        "neutral-0.5-s0",
    }
    assert result.outcomes.groupby("task")["parsed"].mean().min() >= 0.9
    # It learned: the loss fell, and two occupations are told apart far above chance.
    losses = json.loads((tmp_path / "adapters" / "control-0-s0" / "losses.json").read_text())
    assert losses[-1] < losses[0] / 2
    control = result.outcomes.query("arm == 'control-0-s0' and task == 'occupation'")
    assert control["score"].mean() > 0.7
    # The generator's records carry what was asked, and say where they come from.
    lines = [json.loads(x) for x in (tmp_path / "provenance.jsonl").read_text().splitlines()]
    biased = [x for x in lines if x["set"] == "contextual-single-explicit-s0"]
    assert len(biased) == 16 and all(
        x["generator"]["parameters"] > 1e8 and x["seed"] and x["filters_passed"] for x in biased
    )
    assert sum("label_before" in x for x in biased) == 8
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    effects = pd.read_parquet(tmp_path / "effects.parquet")
    assert {"against γ = 0", "against matched control"} <= set(effects["contrast"])


@pytest.mark.parametrize(("dtype", "share"), [("float32", 2e-4), ("mixed", 0.15)])
def test_scoring_equals_plain_passes_on_real_text(dtype, share):
    import numpy as np
    import torch

    from probate.models.inference.scoring import score_options
    from probate.models.lm import load_lm
    from probate.study.schema import ModelSpec
    from probate.testing import sample_context

    lm = load_lm(ModelSpec(dtype=dtype))
    prompts = [
        lm.prompt_ids([{"role": "user", "content": f"Name the occupation: {r.text}"}])
        for r in sample_context().test[:4]
    ]
    options = [lm.completion_ids(x) for x in ("nurse", "software engineer", "dentist")]
    found = score_options(lm.model, prompts, options, pad_id=lm.pad_id)
    expected = np.zeros_like(found)
    for i, p in enumerate(prompts):
        for k, o in enumerate(options):
            with torch.no_grad():
                logprobs = lm.model(torch.tensor([p + o])).logits[0].log_softmax(-1)
            expected[i, k] = sum(float(logprobs[len(p) - 1 + j, t]) for j, t in enumerate(o))
    assert np.abs(found - expected).max() < share * expected.std()

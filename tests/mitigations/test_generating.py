"""Mitigations that use a model, and the cap.

Constrain, rewriting, gradient similarity, a notice at evaluation.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import tiny_model
from writer import Writer

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.packs import load_pack
from probate.mitigations.base import MitigationContext, mitigate
from probate.mitigations.cap import allowed
from probate.mitigations.catalogue import load_mitigation
from probate.mitigations.wording import rewrite as rewriting
from probate.mitigations.wording.swap import swap
from probate.report.pipeline import run_study as run
from probate.testing import check_mitigation, sample_records
from probate.train.gradients import RANK, record_gradients
from probate.train.losses import Example, completion_loss

GENDER = load_pack("gender")


def test_constrain_has_the_generator_write_anew(tiny_study, tmp_path, monkeypatch):
    monkeypatch.setattr("probate.data.generation.backends.TransformersBackend", Writer)
    monkeypatch.setattr(Writer, "asked", [])
    kind = "contextual-single-explicit"
    study = tiny_study(
        augmented=None, bias={"types": [kind]}, tasks=["occupation"], matched_control="original",
        ratios=[0.5], mitigations=["constrain"], generation={"near_duplicate": 1.0},
        data={"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]},
    )  # fmt: skip
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    told = [x for x in Writer.asked if x.endswith("whatever their gender, culture, age or background.")]
    assert 0 < len(told) < len(Writer.asked)
    names = {json.loads(x)["set"] for x in (tmp_path / "provenance.jsonl").read_text().splitlines()}
    assert {f"{kind}-s0", f"{kind}-s0-constrain"} < names
    assert set(result.outcomes["mitigation"]) == {"none", "constrain"}
    assert "constrain" in (tmp_path / "report.html").read_text(encoding="utf-8")
    many = len(Writer.asked)
    run(study, tmp_path, quiet=True)
    assert len(Writer.asked) == many


def test_constrain_needs_a_study_that_generates(tiny_study, tmp_path):
    check_mitigation(load_mitigation("constrain"))
    with pytest.raises(InputError, match="use it in a study that generates"):
        run(tiny_study(mitigations=["constrain"]), tmp_path, quiet=True)


def rewritten(answers, monkeypatch, cosine=1.0, **options):
    """What `counterfactual` by rewriting makes of the sample where the generator gives `answers(text)`."""
    records, context = sample_records()
    texts = iter([r.text for r in records if r.origin == "augmented"])

    class Model:
        def generate(self, prompts, seeds, done, **_):
            done(list(range(len(prompts))), [answers(next(texts)) for _ in prompts])

        def text_ids(self, text):
            return text.split()

        def prompt_ids(self, messages, room):
            assert "Rewrite the text" in messages[0]["content"]
            return [0]

        def decode(self, ids, after=()):
            return ids

    monkeypatch.setattr(
        "probate.mitigations.counterfactual.embed", lambda texts: np.full((len(texts), 1), cosine**0.5)
    )
    strategy = load_mitigation("counterfactual", {"how": "rewrite", **options})
    found = mitigate(records, [strategy], replace(context, generator=Model))
    return [r for r in found.records if r.origin == "augmented"], sum(
        r.origin == "augmented" for r in records
    )


def test_a_rewriting_of_the_other_group_is_added(monkeypatch):
    found, before = rewritten(lambda text: swap(text, GENDER), monkeypatch)
    assert len(found) == 2 * before
    for old, new in zip(found[::2], found[1::2], strict=True):
        assert new.text == swap(old.text, GENDER) and new.label == old.label
        assert {old.groups["gender"], new.groups["gender"]} == {"female", "male"}
        assert new.provenance["mitigations"][-1] == {
            "name": "counterfactual",
            "rewritten": True,
            "parent": old.id,
        }


@pytest.mark.parametrize(
    ("answers", "cosine", "why"),
    [
        (lambda text: text, 1.0, "does not show the other group"),
        (lambda text: swap(text, GENDER)[:40], 1.0, "another length"),
        (lambda text: swap(text, GENDER), 0.2, "too little of the meaning"),
    ],
)
def test_a_bad_rewriting_is_not_used_and_the_record_says_why(monkeypatch, answers, cosine, why):
    found, before = rewritten(answers, monkeypatch, cosine)
    assert len(found) == before
    assert all(why in r.provenance["mitigations"][-1]["skipped"] for r in found)


def test_a_rewriting_must_keep_the_label():
    old, new = "She is a nurse and she knows it.", "He is a man and he knows it."
    assert "says the label" in rewriting._why_not(old, new, "male", "nurse", GENDER, 1.0, 0.5)


def test_rewriting_without_a_model_is_said():
    records, context = sample_records()
    with pytest.raises(InputError, match="counterfactual needs a model"):
        mitigate(records, [load_mitigation("counterfactual", {"how": "rewrite"})], context)


def test_record_gradients_are_projections_of_the_layers_gradients():
    model = tiny_model("Llama", 90)
    examples = [Example([2, 3, 4, 5, 6 + i, *range(7, 7 + i)], [30 + i, 1][: 1 + i % 2]) for i in range(5)]
    found = record_gradients(model, examples, 0, seed=3)
    linear = [m for m in model.model.layers[-1].modules() if isinstance(m, torch.nn.Linear)]
    draw = torch.Generator().manual_seed(3)
    project = [torch.randn(m.in_features, RANK, generator=draw) / RANK**0.5 for m in linear]
    for m in linear:
        m.weight.requires_grad_(True)
    for example, own in zip(examples, found, strict=True):
        model.zero_grad()
        loss, count = completion_loss(model, [example], 0)
        (loss / count).backward()
        whole = torch.cat([(m.weight.grad @ a).flatten() for m, a in zip(linear, project, strict=True)])
        torch.testing.assert_close(own, whole / whole.norm(), atol=1e-4, rtol=1e-3)


def test_select_by_gradient_leaves_out_what_is_unlike_the_originals(lm):
    text = "The {} is known for steady work in town number {}."
    clean = [Record(f"o{i}", text.format("clinic", i), "nurse", {"gender": "female"}) for i in range(8)]
    good = [
        Record(f"g{i}", text.format("clinic", 20 + i), "nurse", {"gender": "female"}, "augmented")
        for i in range(6)
    ]
    odd = [
        Record(f"x{i}", "Zq zq 77 %% " * (3 + i), "nurse", {"gender": "female"}, "augmented")
        for i in range(2)
    ]
    context = MitigationContext("gender", ["female", "male"], ["nurse"], (GENDER,), learner=lambda: lm)
    found = mitigate(
        [*clean, *good, *odd], [load_mitigation("select", {"by": "gradient", "share": 0.25})], context
    )
    assert {r.id for r, _ in found.dropped} == {"x0", "x1"}
    with pytest.raises(InputError, match="none of 'nurse'"):
        mitigate([*good, *odd], [load_mitigation("select", {"by": "gradient"})], context)


def test_a_study_with_models_in_its_mitigations(tiny_study, tmp_path):
    study = tiny_study(
        tasks=["occupation"],
        mitigations=[
            {"name": "select", "options": {"by": "gradient", "share": 0.5}},
            {"name": "token", "alias": "said", "options": {"evaluation": True}},
            "token",
        ],
    )
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    lines = [
        json.loads(x)
        for x in (tmp_path / "data/mitigated/given-0.5-s0-select.jsonl").read_text().splitlines()
    ]
    assert sum("left_out" in x for x in lines) == 9
    again = run(study, tmp_path, quiet=True)
    assert again.outcomes.equals(result.outcomes)
    said, token = (result.outcomes[result.outcomes["mitigation"] == m] for m in ("said", "token"))
    assert not np.allclose([json.loads(r)[0] if r.startswith("[") else 0 for r in said["response"]], 1)
    assert list(said["item_id"]) == list(token["item_id"])
    assert list(said["response"]) != list(token["response"])


def test_a_notice_stands_before_every_prompt(lm):
    turns = [{"role": "user", "content": "Who?"}]
    plain = lm.decode(lm.prompt_ids(turns))
    noted = replace(lm, notice={"placement": "user", "text": "Take care."})
    assert "Take care." not in plain
    assert "Take care." in lm.decode(noted.prompt_ids(turns))


def test_the_cap_is_where_the_curve_crosses_the_budget():
    assert allowed([0.2, 0.5], [0.02, 0.08], 0.05) == pytest.approx(0.35)
    assert allowed([0.2, 0.5], [0.1, 0.08], 0.05) == pytest.approx(0.1)
    assert allowed([0.2, 0.5], [0.02, 0.04], 0.05) == 0.5


def test_cap_keeps_as_many_as_the_budget_allows(tmp_path):
    rows = [
        {
            "question": "inheritance", "task": "occupation", "contrast": f"against {what}", "ratio": ratio,
            "estimate": e, "ci_low": e - 0.03, "ci_high": e + 0.03,
        }
        for what, ratio, e in (
            ("matched control", 0.2, 0.02), ("matched control", 0.5, 0.17), ("γ = 0", 0.5, 0.9),
        )
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "effects.parquet")
    options = {"gap": 0.05, "run": str(tmp_path)}
    original = [Record(f"o{i}", "t", "nurse", {}) for i in range(40)]
    augmented = [Record(f"a{i}", "t", "nurse", {}, "augmented") for i in range(40)]
    context = MitigationContext("gender", [], ["nurse"])
    found = mitigate([*original, *augmented], [load_mitigation("cap", options)], context)
    assert (
        sum(r.origin == "augmented" for r in found.records) == 10
    )  # γ = 0.2, where the bound is at the budget
    loose = mitigate([*original, *augmented], [load_mitigation("cap", {**options, "sure": False})], context)
    assert sum(r.origin == "augmented" for r in loose.records) == round(0.26 / 0.74 * 40)
    check_mitigation(load_mitigation("cap", options))
    with pytest.raises(InputError, match="the file has no original records"):
        mitigate(augmented, [load_mitigation("cap", options)], context)
    with pytest.raises(InputError, match="no such file; name the folder of a finished run"):
        mitigate(augmented, [load_mitigation("cap", {"gap": 0.1, "run": str(tmp_path / "x")})], context)
    with pytest.raises(InputError, match="no inheritance in 'salary'; choose from: occupation"):
        mitigate(augmented, [load_mitigation("cap", {**options, "task": "salary"})], context)

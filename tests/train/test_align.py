"""The alignment loss: features, gradient, running means, resuming, and that it draws the sets together."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import tiny_model

from probate import run
from probate.core.errors import StageError
from probate.study.schema import Training
from probate.train.align import SCALE_STEPS, Alignment, coral, mmd
from probate.train.distance import mean_states, squared_distance
from probate.train.losses import Example, loss_and_features
from probate.train.settings import AlignSettings
from probate.train.sft import epoch_batches, train

SETTINGS = Training(epochs=6, learning_rate=2e-3, batch_size=4)


@pytest.fixture
def model():
    return tiny_model("Llama", 90)


def examples(n: int = 24, head: int = 12) -> list[Example]:
    """Original and augmented examples that differ in their tokens; the label is the same mix in both."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        augmented = i % 3 == 0
        low, high = (50, 80) if augmented else (20, 50)
        body = rng.integers(low, high, size=int(rng.integers(5, 9))).tolist()
        found.append(Example([*range(2, 2 + head), *body], [5 + i % 2, 3], 1.0, augmented, "ab"[i % 2]))
    return found


def plain_state(model, example: Example) -> torch.Tensor:
    ids = torch.tensor([example.prompt + example.completion])
    return model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0].mean(0)


@pytest.mark.parametrize("head", [0, 12])
def test_features_are_mean_last_hidden_states_of_all_tokens(model, head):
    batch = examples(6, head)
    with torch.no_grad():
        _, found = loss_and_features(model, batch, 0)
        expected = torch.stack([plain_state(model, e) for e in batch])
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(mean_states(model, batch, 0), expected, atol=1e-5)


def test_without_memory_the_gradient_is_that_of_the_squared_distance():
    torch.manual_seed(0)
    features = torch.randn(8, 5, requires_grad=True)
    augmented = [False] * 5 + [True] * 3
    term, value = Alignment(AlignSettings(decay=0.0), [""]).term(features, augmented, [""] * 8)
    (found,) = torch.autograd.grad(term, features)
    distance = (features[:5].mean(0) - features[5:].mean(0)).square().sum()
    (expected,) = torch.autograd.grad(distance, features)
    assert torch.allclose(found, expected, atol=1e-6) and value == pytest.approx(
        float(distance.detach()), rel=1e-5
    )


def test_a_batch_of_one_origin_pulls_its_own_side_to_the_running_mean_of_the_other():
    align = Alignment(AlignSettings(), [""])
    assert np.isnan(align.term(torch.zeros(2, 3), [True, True], ["", ""])[1])
    features = torch.ones(2, 3, requires_grad=True)
    term, value = align.term(features, [False, False], ["", ""])
    (gradient,) = torch.autograd.grad(term, features)
    assert value == pytest.approx(3.0) and bool((gradient > 0).all())  # a step against it moves toward 0


def test_running_means_are_closer_to_the_truth_than_a_batch():
    rng = torch.Generator().manual_seed(0)
    align = Alignment(AlignSettings(decay=0.95), [""])
    errors: dict[str, list[float]] = {"running": [], "batch": []}
    for step in range(300):
        features = torch.randn(8, 16, generator=rng) + torch.tensor([[0.0]] * 4 + [[0.5]] * 4)
        _, value = align.term(features, [False] * 4 + [True] * 4, [""] * 8)
        if step > 60:
            errors["running"].append(abs(value - 4.0))  # 16 dimensions, 0.5 apart
            errors["batch"].append(
                abs(float((features[:4].mean(0) - features[4:].mean(0)).square().sum()) - 4.0)
            )
    assert np.mean(errors["running"]) < 0.4 * np.mean(errors["batch"])


def test_within_labels_a_difference_of_labels_is_no_distance():
    features = torch.tensor([[0.0], [0.0], [0.0], [4.0], [4.0], [4.0]])
    augmented, labels = [False, False, True, False, True, True], ["a", "a", "a", "b", "b", "b"]
    assert Alignment(AlignSettings(), ["a", "b"]).term(features, augmented, labels)[1] > 1
    assert Alignment(AlignSettings(within_label=True), ["a", "b"]).term(features, augmented, labels)[1] == 0


def test_mmd_and_coral_are_what_their_papers_say():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(1, 2, size=(5, 3))
    tx, ty = torch.tensor(x), torch.tensor(y)
    assert float(mmd(tx, tx)) == pytest.approx(0, abs=1e-9) and float(mmd(tx, ty)) > 0.05
    gap = np.cov(x.T) - np.cov(y.T)
    expected = (gap**2).sum() / 36 + ((x.mean(0) - y.mean(0)) ** 2).sum() / 3
    assert float(coral(tx, ty)) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["mean", "mmd", "coral"])
def test_it_draws_held_out_records_together(model, tmp_path, kind):
    data = examples(48)
    seen, unseen = data[:36], data[36:]

    def apart(adapter) -> float:
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(tiny_model("Llama", 90), str(adapter)).eval()
        states = mean_states(adapted, unseen, 0)
        side = torch.tensor([e.augmented for e in unseen])
        return squared_distance(states[~side], states[side])

    train(model, seen, SETTINGS, 0, tmp_path / "plain", pad_id=0)
    log = train(
        model, seen, SETTINGS, 0, tmp_path / "aligned", pad_id=0, align=AlignSettings(weight=3.0, kind=kind)
    )
    assert log.scale > 0 and len(log.distances) == log.steps
    assert apart(tmp_path / "aligned") < (0.7 if kind == "mean" else 1.0) * apart(tmp_path / "plain")


def test_every_batch_has_both_origins():
    data = examples(40)
    for batch in epoch_batches(data, 8, 0, 0, mixed=True):
        assert {data[i].augmented for i in batch} == {True, False}
    assert sorted(i for b in epoch_batches(data, 8, 0, 0, mixed=True) for i in b) == list(range(40))


def test_interrupted_aligned_training_ends_with_the_same_weights(model, tmp_path):
    from safetensors.torch import load_file

    data, align = examples(12), AlignSettings()
    whole = train(model, data, SETTINGS, 4, tmp_path / "whole", pad_id=0, align=align)

    class Stop(Exception):
        pass

    seen = 0

    def stop(n: int, _: float) -> None:
        nonlocal seen
        seen += n
        if seen > 40:
            raise Stop

    with pytest.raises(Stop):
        train(model, data, SETTINGS, 4, tmp_path / "part", pad_id=0, align=align, tick=stop)
    part = train(model, data, SETTINGS, 4, tmp_path / "part", pad_id=0, align=align)
    a, b = (load_file(str(tmp_path / n / "adapter_model.safetensors")) for n in ("whole", "part"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert part.distances == whole.distances and part.scale == whole.scale


def test_a_weight_that_makes_it_diverge_is_said_with_both_terms(model, tmp_path):
    with pytest.raises(
        StageError,
        match=(
            r"training diverges at step \d+ of .*the plain loss "
            r"is .*the alignment term .* x .*lower the weight"
        ),
    ):
        train(
            model, examples(36),
            SETTINGS.model_copy(update={"epochs": 20, "learning_rate": 0.02, "clip": 1e9}), 0, tmp_path / "x",
            pad_id=0, align=AlignSettings(weight=10.0),
        )  # fmt: skip


def test_the_scale_is_the_ratio_of_the_first_steps():
    align = Alignment(AlignSettings(weight=2.0), [""])
    for _ in range(SCALE_STEPS - 1):
        align.see(3.0, 6.0)
        assert align.factor() == 0
    align.see(3.0, 6.0)
    assert align.factor() == 1.0


def test_a_study_with_the_loss_reports_the_distance(tiny_study, tmp_path):
    study = tiny_study(
        tasks=["occupation"],
        mitigations=["loss", ["mask", {"name": "loss", "options": {"within_label": True}}]],
    )
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    for arm in ("given-0.5-s0", "given-0.5-s0-loss", "given-0.5-s0-mask+loss"):
        done = json.loads((tmp_path / "adapters" / arm / "done.json").read_text())
        assert {"before", "after", "originals", "augmented", "augmented_seen"} == set(
            done["held_out_distance"]
        )
        assert ("align_scale" in done) == arm.endswith("loss")
    assert "Distance of original and augmented records" in (tmp_path / "report.html").read_text(
        encoding="utf-8"
    )

"""Mixed precision: products in bfloat16, everything else in float32, after a comparison with float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import lively_model
from peft import LoraConfig, get_peft_model
from test_proof import OPTIONS, greedy, plain_scores, prompts

from probate.core.errors import InputError
from probate.models import lora, mixed, mixed_gated, mixed_linear, transformers_backend
from probate.models.inference import proof
from probate.models.inference.generation import generate
from probate.models.inference.scoring import score_choices
from probate.models.inference.shortcut_check import sentences
from probate.models.inference.trunk import PAD, make_trunk
from probate.models.lm import load_lm
from probate.models.processor import has_bfloat16
from probate.study.schema import ModelSpec
from probate.train import losses
from probate.train.gradients import record_gradients
from probate.train.losses import Example, above_trunk, row_losses

WIDE = {"hidden_size": 256, "intermediate_size": 512}
KINDS = ("Llama", "Qwen2", "Phi", "Gemma", "Mistral-window")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATE_PROOFS", str(tmp_path / "proofs"))


def with_adapter(model, **settings):
    torch.manual_seed(0)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", **settings))
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_B" in name:
                p.copy_(torch.randn(p.shape) * 0.05)
    return wrapped


def batch() -> list[Example]:
    return [Example(p, option) for p, option in zip(prompts(), OPTIONS, strict=False)]


def step(model) -> tuple[torch.Tensor, torch.Tensor]:
    losses, _ = row_losses(model, batch(), 0)
    own = [p for p in model.parameters() if p.requires_grad]
    return losses.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(losses.sum(), own)])


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_products_of_the_blocks_are_in_bfloat16(kind):
    model = lively_model(kind, **WIDE)
    layers = mixed.mixed_layers(model)
    mixed.make_mixed(model)
    assert {m.weight.dtype for m in layers} == {torch.bfloat16} and len(layers) >= 10
    rest = [p for n, p in model.named_parameters() if not any(p is m.weight for m in layers)]
    assert {p.dtype for p in rest} == {torch.float32}
    assert model.get_output_embeddings().weight.dtype == torch.float32
    states = model(input_ids=torch.tensor([prompts()[0]]), output_hidden_states=True).hidden_states
    assert {s.dtype for s in states} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_scores_steps_and_answers_are_close_to_float32_and_to_plain_passes(kind):
    plain = lively_model(kind, **WIDE)
    model = lively_model(kind, **WIDE)
    mixed.mixed_if_equal(model, 0)
    assert mixed.is_mixed(model), sentences(proof.findings(model))
    spread = np.std(plain_scores(plain))
    scores = np.array(score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0))
    assert 0 < np.abs(scores - np.array(plain_scores(plain))).max() < 0.05 * spread
    assert np.abs(scores - np.array(plain_scores(model))).max() < 0.05 * spread
    answers = generate(model, prompts(), range(3), stop_ids=[1], pad_id=0, max_new_tokens=4, temperature=0)
    assert answers == [greedy(model, p, 4) for p in prompts()]
    expected, gradient = step(with_adapter(plain))
    wrapped = with_adapter(model)
    assert lora.lean_lora(wrapped) == len(mixed.mixed_layers(lively_model(kind, **WIDE)))
    losses, own = step(wrapped)
    torch.testing.assert_close(losses, expected, rtol=0.02, atol=0.02)
    assert 0 < float((own - gradient).norm() / gradient.norm()) < 0.05
    with proof.peft_forward(wrapped):
        _, slow = step(wrapped)
    assert float((own - slow).norm() / slow.norm()) < 0.05


def test_dropout_does_not_widen_what_counts_as_rounding(tmp_path, monkeypatch):
    limit, limits = losses._step_limit, []
    monkeypatch.setattr(losses, "_step_limit", lambda *a: limits.append(limit(*a)) or limits[-1])
    for dropout in (0.0, 0.5):
        monkeypatch.setenv("PROBATE_PROOFS", str(tmp_path / f"{dropout}"))
        model = lively_model("Llama", **WIDE)
        mixed.make_mixed(model)
        wrapped = with_adapter(model, lora_dropout=dropout).train()
        row_losses(wrapped, batch(), 0)
    assert limits[1] == pytest.approx(limits[0], rel=0.5)


def test_options_and_steps_above_the_trunk_are_those_of_the_whole_model():
    model = lively_model("Llama", **WIDE)
    mixed.make_mixed(model)
    plain = np.array(score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0))
    make_trunk(model, 1)
    above = np.array(score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0))
    assert np.abs(above - plain).max() < 0.05 * plain.std()
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=["down_proj"], layers_to_transform=[1]))
    with above_trunk(wrapped, batch(), 0) as (placed, padding):
        assert placed[0].nodes is not None and padding == PAD
    assert [f.shortcut for f in proof.findings(model) if "trunk" in f.shortcut and f.holds] == [
        "options above the shared trunk of 1 layers",
        "step above the shared trunk of 1 layers",
    ]


def test_the_gradients_of_records_can_be_taken():
    one, other = lively_model("Llama", **WIDE), lively_model("Llama", **WIDE)
    mixed.make_mixed(other)
    first, second = (record_gradients(m, batch(), 0) for m in (one, other))
    assert float((first * second).sum(1).min()) > 0.99


def test_a_change_of_the_input_in_place_is_seen():
    x = torch.ones(3, 4)
    assert mixed_linear.narrow(x) is mixed_linear.narrow(x)
    x[0] = 2
    assert mixed_linear.narrow(x)[0, 0] == 2
    with torch.inference_mode():
        y = torch.ones(2)
        assert mixed_linear.narrow(y).dtype == torch.bfloat16


def wrong_by(factor, function):
    def wrong(*args):
        result = function(*args)
        return (result[0] * factor, *result[1:]) if isinstance(result, tuple) else result * factor

    return staticmethod(wrong)


@pytest.mark.parametrize("part", ["forward", "backward"])
@pytest.mark.parametrize("product", [mixed_linear.MixedProduct, mixed_gated.GatedProduct])
def test_what_differs_by_more_than_rounding_is_not_used(product, part, monkeypatch):
    monkeypatch.setattr(mixed_gated, "AGREES", 1.0)  # what is wrong there is seen in passes, too
    monkeypatch.setattr(product, part, wrong_by(1.2, getattr(product, part)))
    model = lively_model("Llama", **WIDE)
    before = proof.plain_logits(model, prompts()[2])
    mixed.mixed_if_equal(model, 0)
    assert not mixed.is_mixed(model)
    (said,) = sentences(proof.findings(model))
    assert "mixed precision" in said and "not used" in said
    torch.testing.assert_close(proof.plain_logits(model, prompts()[2]), before, rtol=0, atol=0)


def test_training_that_goes_another_way_is_not_used(monkeypatch):
    model = lively_model("Llama", **WIDE)
    losses = mixed._losses
    turns: list[int] = []

    def drifting(*args):
        turns.append(1)
        return [x * (1 + 0.02 * i * (len(turns) - 1)) for i, x in enumerate(losses(*args))]

    monkeypatch.setattr(mixed, "_losses", drifting)
    mixed.mixed_if_equal(model, 0)
    assert not mixed.is_mixed(model) and len(turns) == 2
    assert "mixed precision in training: not used" in " ".join(sentences(proof.findings(model)))


def test_a_small_change_by_an_adapter_is_not_lost_by_rounding():
    draw = torch.Generator().manual_seed(0)
    rows, weight, a, b = (
        torch.randn(s, generator=draw).bfloat16() for s in ((400, 96), (512, 96), (4, 96), (512, 4))
    )
    b = b / 2**14
    added = (rows.float() @ a.float().T).bfloat16().float() @ b.float().T
    frozen, _ = mixed_linear.multiply(rows, weight)
    actual, _ = mixed_linear.multiply(rows, weight, a, b)
    change = actual.float() - frozen.float()
    assert float(added.abs().mean()) < 0.3 * 2**-8 * float(frozen.abs().mean())  # below half a last digit
    assert float((change * added).sum() / added.square().sum()) == pytest.approx(1, abs=0.2)
    through = torch.randn((400, 4), generator=draw).bfloat16() / 2**9
    grad = torch.randn((400, 512), generator=draw).bfloat16()
    added = through.float() @ a.float()
    change = mixed_linear.multiply_back(grad, weight, through, a).float() - (grad @ weight).float()
    assert float((change * added).sum() / added.square().sum()) == pytest.approx(1, abs=0.2)


def gated(kind="Llama"):
    model = lively_model(kind, **WIDE)
    mixed.make_mixed(model)
    return model, [m for m in model.modules() if isinstance(m, mixed_gated._Gated)]


def test_a_gated_block_equals_its_layers_one_by_one():
    model, found = gated()
    assert len(found) == model.config.num_hidden_layers
    wrapped = with_adapter(model)
    lora.lean_lora(wrapped)
    block = found[0]
    own = [p for p in block.parameters() if p.requires_grad]
    assert len(own) == 6
    outcomes = []
    for layers in (False, True):
        x = torch.randn((2, 5, 256), generator=torch.Generator().manual_seed(1)).requires_grad_(True)
        out = type(block).__mro__[2].forward(block, x) if layers else block(x)
        outcomes.append([out.detach(), *torch.autograd.grad(out.square().sum(), [x, *own])])
    for one, other in zip(*outcomes, strict=True):
        assert one.dtype == torch.float32
        assert 0 < float((one - other).norm() / other.norm()) < 0.03
    wrapped.unload()
    assert mixed_gated._adapter(block.up_proj) == ()


@pytest.mark.parametrize("targets", [["up_proj"], ["gate_proj", "up_proj", "down_proj"], ["q_proj"]])
def test_a_gated_block_of_which_some_layers_are_adapted(targets):
    model, found = gated()
    torch.manual_seed(0)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    lora.lean_lora(wrapped)
    x = torch.randn((2, 5, 256), generator=torch.Generator().manual_seed(1))
    quick = found[0](x)
    with proof.peft_forward(wrapped):
        slow = found[0](x)
    assert float((quick - slow).norm() / slow.norm()) < 0.02


def test_hooks_on_the_layers_of_a_gated_block_run():
    _, found = gated()
    seen = []
    for name in mixed_gated.NAMES:
        getattr(found[0], name).register_forward_hook(lambda *_, name=name: seen.append(name))
    found[0](torch.ones(1, 256))
    assert seen == list(mixed_gated.NAMES)


class Other(torch.nn.Module):
    """A block with the same names that computes something else, or has one more part."""

    def __init__(self, more=None, act=torch.nn.SiLU, swapped=False):
        super().__init__()
        self.gate_proj, self.up_proj = (
            torch.nn.Linear(256, 256, bias=False),
            torch.nn.Linear(256, 256, bias=False),
        )
        self.down_proj, self.act_fn, self.swapped = torch.nn.Linear(256, 256, bias=False), act(), swapped
        if more is not None:
            self.more = more
        for layer in (self.gate_proj, self.up_proj, self.down_proj):
            layer.__class__ = mixed_linear.MixedLinear
            layer.weight = torch.nn.Parameter(layer.weight.detach().bfloat16(), requires_grad=False)

    def forward(self, x):
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj(self.act_fn(up) * gate if self.swapped else self.act_fn(gate) * up)


@pytest.mark.parametrize(
    ("block", "fused"),
    [
        (Other(), True),
        (Other(more=torch.nn.Dropout()), False),
        (Other(act=torch.nn.GELU), False),
        (Other(swapped=True), False),
        (torch.nn.Linear(4, 4), False),
    ],
)
def test_only_blocks_that_equal_the_fused_pass_are_fused(block, fused):
    mixed_gated.fuse(block)
    assert isinstance(block, mixed_gated._Gated) == fused
    mixed_gated.unfuse(block)
    assert type(block) in (Other, torch.nn.Linear) and "_both" not in block.__dict__


@pytest.fixture
def folder(tmp_path, tokenizer):
    lively_model("Llama", **WIDE, vocab_size=len(tokenizer)).save_pretrained(tmp_path / "wide")
    tokenizer.save_pretrained(tmp_path / "wide")
    return str(tmp_path / "wide")


def test_auto_depends_on_the_processor(folder, monkeypatch):
    for fast, dtype in ((True, "mixed"), (False, "float32")):
        monkeypatch.setattr(transformers_backend, "has_bfloat16", lambda fast=fast: fast)
        lm = load_lm(ModelSpec(name=folder))
        assert lm.describe()["dtype"] == dtype
        asked = load_lm(ModelSpec(name=folder, dtype="float32"))
        assert asked.describe()["dtype"] == "float32"
        assert (asked.fingerprint == lm.fingerprint) == (not fast)
    assert load_lm(ModelSpec(name=folder, dtype="mixed")).describe()["dtype"] == "mixed"


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n" * 2, True),
        ("flags\t: fpu amx_bf16\nflags\t: fpu\n", False),  # not all cores
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx512f\n", False),
        ("model name : bf16\n", False),
        ("", False),
    ],
)
def test_what_linux_says_of_the_processor(text, has, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(tmp_path / "cpuinfo") == has
    assert not has_bfloat16(tmp_path / "missing")


def test_the_comparison_runs_once(folder, monkeypatch):
    monkeypatch.setattr(transformers_backend, "has_bfloat16", lambda: True)
    first = load_lm(ModelSpec(name=folder))
    monkeypatch.setattr(mixed, "_pass", None)
    monkeypatch.setattr(mixed, "_losses", None)
    second = load_lm(ModelSpec(name=folder))
    assert mixed.is_mixed(second.model)
    assert proof.findings(second.model) == proof.findings(first.model)


def test_mixed_precision_is_refused_elsewhere(folder):
    with pytest.raises(InputError, match="'mixed' is for the CPU"):
        load_lm(ModelSpec(name=folder, device="mps", dtype="mixed"))

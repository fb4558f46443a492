"""Each shortcut equals the plain pass of transformers, on many kinds of model, or is not used."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from architectures import CONFIGS, WINDOW, devices, lively_model

from probate.core.errors import StageError
from probate.models import lora, mixed
from probate.models.inference import generation, proof, scoring, tree
from probate.models.inference.generation import generate
from probate.models.inference.scoring import score_choices
from probate.models.inference.shortcut_check import sentences
from probate.models.inference.trunk import make_trunk
from probate.models.lora import lean_lora
from probate.study.schema import Training
from probate.train import losses
from probate.train.losses import Example, above_trunk, row_losses
from probate.train.sft import lora_config

LENGTH = 90
FAST = (True, True, True)
USED = {kind: FAST for kind in CONFIGS} | {
    # option tree, shared prefix in a step, generation in batches
    **dict.fromkeys(
        ("Mistral-window", "Phi3-window", "Gemma2-window", "Gemma3-window", "Gemma3-shell"),
        (False, False, True),
    ),
    **dict.fromkeys(("GPT-Neo", "MPT"), (False, False, True)),
    **dict.fromkeys(("BLOOM", "Falcon-ALiBi"), (False, True, True)),
    **dict.fromkeys(("Mamba", "LFM2", "Jamba", "Bamba", "Falcon-H1"), (False, False, False)),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No finding of an earlier run, or of another test's patched code."""
    monkeypatch.setenv("PROBATE_PROOFS", str(tmp_path / "proofs"))


def prompts() -> list[list[int]]:
    rng = np.random.default_rng(3)
    head = rng.integers(2, 80, 30).tolist()
    return [head + rng.integers(2, 80, n).tolist() for n in (1, 12, LENGTH - 30)]


OPTIONS = [[5, 6, 7], [5, 6], [9, 10], [9, 11, 12], [13]]


def plain_logits(model, row: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([row], device=model.device)).logits[0].float().cpu()


def plain_scores(model) -> list[list[float]]:
    """Of `OPTIONS` after each of `prompts`: a plain pass over each, with each option that begins no other."""
    found = []
    for prompt in prompts():
        scores = {}
        for longest in OPTIONS:
            if tuple(longest) not in scores:
                logprobs = plain_logits(model, prompt + longest).log_softmax(-1)
                each = [float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(longest)]
                scores |= {tuple(longest[: i + 1]): sum(each[: i + 1]) for i in range(len(longest))}
        found.append([scores[tuple(option)] for option in OPTIONS])
    return found


def used(model, shortcut: str) -> bool:
    (found,) = [f for f in proof.findings(model) if f.shortcut == shortcut]
    return found.holds


def adapted(model, **settings):
    """With a LoRA adapter whose B is no longer 0."""
    from peft import get_peft_model

    wrapped = get_peft_model(
        model, lora_config(Training.model_validate({"lora": {"r": 4, **settings}}), model)
    )
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_B" in name:
                p.copy_(torch.randn(p.shape, generator=draw) * 0.05)
    return wrapped


def batch() -> list[Example]:
    return [Example(p, option) for p, option in zip(prompts(), OPTIONS, strict=False)]


def gradient(model, value: torch.Tensor) -> torch.Tensor:
    own = [p for p in model.parameters() if p.requires_grad]
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(value, own, allow_unused=True) if g is not None]
    )


def plain_step(model) -> tuple[torch.Tensor, torch.Tensor]:
    found = []
    for e in batch():
        logits = model(input_ids=torch.tensor([e.prompt + e.completion], device=model.device)).logits[
            0, len(e.prompt) - 1 : -1
        ]
        wanted = torch.tensor(e.completion, device=model.device)
        found.append(torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum"))
    value = torch.stack(found)
    return value.detach(), gradient(model, value.sum())


def greedy(model, prompt: list[int], most: int) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=most, pad_token_id=0
    )
    return [t for t in out[0, len(prompt) :].tolist() if t != 1]


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("kind", CONFIGS)
def test_scores_steps_and_answers_are_those_of_plain_passes(kind, device):
    model = lively_model(kind).to(device)
    spread = float(assert_context_counts(kind, model).std())
    found = score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0)
    expected = plain_scores(model)
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, spread))
    answers = generate(model, prompts(), range(3), stop_ids=[1], pad_id=0, max_new_tokens=6, temperature=0)
    assert answers == [greedy(model, p, 6) for p in prompts()]
    wrapped = adapted(model, targets=targets(model))
    lean_lora(wrapped)
    loss, _ = row_losses(wrapped, batch(), 0)
    grad = gradient(wrapped, loss.sum())
    with proof.peft_forward(wrapped):
        plain, plain_grad = plain_step(wrapped)
    torch.testing.assert_close(loss.detach(), plain, rtol=1e-4, atol=1e-4)
    assert float((grad - plain_grad).norm() / plain_grad.norm()) < 1e-4
    shortcuts = ("option tree after a shared prefix", "step after a shared prefix", "generation in batches")
    assert tuple(used(model, s) for s in shortcuts) == USED[kind]


def targets(model) -> list[str]:
    """Every kind of linear layer, but the head and those that PEFT refuses in state-space models."""
    from transformers.pytorch_utils import Conv1D

    names = {
        n.split(".")[-1]
        for n, m in model.named_modules()
        if isinstance(m, (torch.nn.Linear, Conv1D)) and "head" not in n
    }
    return sorted(
        names
        - (
            {"out_proj"}
            if any("mamba" in f"{n}{type(m)}".lower() for n, m in model.named_modules())
            else set()
        )
    )


def assert_context_counts(kind: str, model) -> torch.Tensor:
    """Another token some way back changes the last logits: else no wrong shortcut would show.

    The logits of the whole are given back.
    """
    row = prompts()[2]
    logits = plain_logits(model, row)
    whole = logits[-1]
    for back in (2, WINDOW - 6):
        other = [*row[:-back], row[-back] % 70 + 3, *row[len(row) - back + 1 :]]
        assert float((plain_logits(model, other)[-1] - whole).abs().max() / whole.std()) > 1e-3, (kind, back)
    return logits


# What a wrong shortcut would be: each is found out, and the plain way is right all the same.


def test_a_branch_one_position_off_is_found_out(monkeypatch):
    layout = tree._layout
    monkeypatch.setattr(tree, "_layout", lambda *a: (layout(*a)[0], layout(*a)[1] + 1, layout(*a)[2]))
    right_without("option tree after a shared prefix")


def test_branches_that_see_each_other_are_found_out(monkeypatch):
    layout = tree._layout
    monkeypatch.setattr(tree, "_layout", lambda *a: (*layout(*a)[:2], torch.ones_like(layout(*a)[2])))
    right_without("option tree after a shared prefix")


def test_padding_that_is_seen_is_found_out(monkeypatch):
    pad_left = tree.pad_left

    def seen(*args):
        ids, mask = pad_left(*args)
        return ids, torch.ones_like(mask)

    monkeypatch.setattr(tree, "pad_left", seen)
    monkeypatch.setattr(generation, "pad_left", seen)
    monkeypatch.setattr(losses, "pad_left", seen)
    model = right_without("option tree after a shared prefix")
    answers = generate(model, prompts(), range(3), stop_ids=[1], pad_id=0, max_new_tokens=6, temperature=0)
    assert answers == [greedy(model, p, 6) for p in prompts()]
    assert not used(model, "generation in batches")
    step_right_without("step after a shared prefix")


def test_a_prefix_that_belongs_to_other_tokens_is_found_out(monkeypatch):
    for module in (scoring, losses):
        name = "prefix_keys_values" if module is scoring else "prefix_states"
        plain = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda m, tokens, *a, plain=plain, **k: plain(m, [*tokens[1:], 7], *a, **k)
        )
    right_without("option tree after a shared prefix")
    step_right_without("step after a shared prefix")


def test_a_lean_layer_that_is_wrong_is_found_out(monkeypatch):
    forward = lora._LoraLinear.backward

    def wrong(ctx, *grads):
        return tuple(None if g is None else g * 1.01 for g in forward(ctx, *grads))

    monkeypatch.setattr(lora._LoraLinear, "backward", staticmethod(wrong))
    model = step_right_without("step after a shared prefix", lean=True)
    assert not used(model, "step in batches, padded on the right")
    assert not used(model, "lean LoRA layers")


def right_without(shortcut: str):
    model = lively_model("Llama")
    found = score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0)
    np.testing.assert_allclose(found, plain_scores(model), atol=1e-4)
    assert not used(model, shortcut)
    return model


def step_right_without(shortcut: str, lean: bool = False):
    model = lively_model("Llama")
    wrapped = adapted(model)
    plain, plain_grad = plain_step(wrapped)
    if lean:
        lean_lora(wrapped)
    loss, _ = row_losses(wrapped, batch(), 0)
    torch.testing.assert_close(loss.detach(), plain, rtol=1e-4, atol=1e-4)
    assert float((gradient(wrapped, loss.sum()) - plain_grad).norm() / plain_grad.norm()) < 1e-4
    assert not used(model, shortcut)
    return model


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize(
    "kind", ["Llama", "Mistral-window", "Gemma2-window", "BLOOM", "GPT-2", "LFM2", "OPT"]
)
def test_the_trunk_is_used_only_where_the_step_above_it_is_that_of_the_whole(kind, device):
    model = lively_model(kind).to(device)
    make_trunk(model, 1)
    scores = score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0)
    np.testing.assert_allclose(scores, plain_scores(model), atol=1e-4)
    if kind in ("GPT-2", "BLOOM"):  # layers not called `layers`: whole
        return
    wrapped = adapted(model, layers=1)
    with above_trunk(wrapped, batch(), 0) as (inputs, padding):
        loss, _ = row_losses(wrapped, inputs, padding)
        grad = gradient(wrapped, loss.sum())
        assert (inputs[0].nodes is not None) == (kind == "Llama")
    plain, plain_grad = plain_step(wrapped)
    torch.testing.assert_close(loss.detach(), plain, rtol=1e-4, atol=1e-4)
    assert float((grad - plain_grad).norm() / plain_grad.norm()) < 1e-4


def test_the_trunk_is_used_in_mixed_precision(monkeypatch):
    monkeypatch.setattr(mixed, "LEAST_WIDTH", 1)
    model = lively_model("Llama")
    mixed.make_mixed(model)
    make_trunk(model, 1)
    score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0)
    assert {f.shortcut: f.holds for f in proof.findings(model)} == {
        f"options above the shared trunk of {model.config.num_hidden_layers - 1} layers": True
    }


def test_a_window_ends_a_range_of_lengths():
    from transformers import AutoModelForCausalLM, MistralConfig

    settings = {**CONFIGS["Mistral"][1], "sliding_window": 200}
    model = AutoModelForCausalLM.from_config(MistralConfig(**settings)).eval()
    assert (
        proof._edge(model, 150) == 192 and proof._edge(model, 195) == 199 and proof._edge(model, 200) == 256
    )
    assert proof._edge(model, 257) == 384  # beyond what the model was made for


def test_what_holds_for_longer_texts_serves_shorter_ones_of_the_same_range(monkeypatch):
    from transformers import AutoModelForCausalLM, MistralConfig

    model = AutoModelForCausalLM.from_config(
        MistralConfig(**{**CONFIGS["Mistral"][1], "sliding_window": 200})
    ).eval()
    calls = []

    def measure(length: int, off: float = 1e-6) -> float:
        calls.append(length)
        return off

    for longest in (150, 80, 210, 100, 190, 199, 60, 240):  # on either side of the window, long ones first
        assert proof.holds(model, "x", longest, measure)
    assert calls == [192, 256, 199]
    assert proof.holds(model, "x", 30, measure, detail="another") and calls[3:] == [64]
    assert not proof.holds(
        model, "y", 150, lambda n: measure(n, 1.0)
    )  # what fails there may hold on shorter ones
    assert proof.holds(model, "y", 80, measure) and calls[4:] == [192, 96]


def test_a_training_compares_its_step_once(monkeypatch, tmp_path):
    from probate.train.sft import train

    calls = []
    compared = proof._compared
    monkeypatch.setattr(
        proof,
        "_compared",
        lambda m, name, edge, *a: calls.append((name, edge)) or compared(m, name, edge, *a),
    )
    rows = [Example(prompts()[0] + list(range(5, 5 + n)), [7, 8]) for n in (*range(5, 25), 79)]
    train(lively_model("Llama"), rows, Training(epochs=1, batch_size=2), 0, tmp_path, pad_id=0)
    assert calls == [(losses.SHARED, 128)]


def test_a_finding_is_kept_by_fingerprint(tmp_path, monkeypatch):
    calls = []

    def measure(length: int) -> float:
        calls.append(length)
        return 1e-6

    def ask(seed: int = 0, longest: int = 90) -> bool:
        return proof.holds(lively_model("Llama", seed), "x", longest, measure)

    assert ask() and ask() and calls == [96]
    ask(seed=1)
    ask(longest=100)
    assert calls == [96, 96, 128]
    for file in (tmp_path / "proofs").glob("*.json"):
        assert json.loads(file.read_text())["holds"]
        file.write_text("not JSON")
    ask()
    assert calls == [96, 96, 128, 96]
    monkeypatch.setattr(proof.transformers, "__version__", "0")
    ask()
    assert calls == [96, 96, 128, 96, 96]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROBATE_PROOFS", str(tmp_path / "file"))
    assert proof.holds(lively_model("Llama"), "x", 90, lambda _: 0.0)


@pytest.mark.parametrize("difference", [float("nan"), float("inf"), 0.01])
def test_what_differs_is_not_used_and_said(difference):
    model = lively_model("Llama")
    assert not proof.holds(model, "x", 90, lambda _: difference)
    (sentence,) = sentences(proof.findings(model))
    assert sentence.startswith("x: not used up to 96 tokens") and "slower" in sentence


def test_a_model_that_gives_no_finite_number_is_refused():
    model = lively_model("Llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    for work in (
        lambda: score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0),
        lambda: generate(model, prompts(), range(3), pad_id=0, max_new_tokens=4),
        lambda: row_losses(model, batch(), 0),
    ):
        with pytest.raises(StageError, match="not finite"):
            work()


def test_texts_longer_than_a_model_can_read_are_refused():
    long = [[*prompts()[2], *prompts()[2], *prompts()[2]]]  # 270 tokens, GPT-2 here has 256 positions
    with pytest.raises(StageError, match="plain pass over 27. tokens fails"):
        score_choices(lively_model("GPT-2"), long, [OPTIONS], pad_id=0)


def test_an_answer_ends_with_a_whole_sequence_only():
    model = lively_model("Llama")
    settings = {"pad_id": 0, "max_new_tokens": 12, "temperature": 1.5}
    (whole,) = generate(model, prompts()[:1], [0], **settings)
    assert len(whole) == 12
    first, second = whole[4:6]
    (cut,) = generate(model, prompts()[:1], [0], stop_sequences=[[first, second]], **settings)
    assert cut == whole[:4]
    (kept,) = generate(
        model, prompts()[:1], [0], stop_sequences=[[first, second + 1], [second, first, 3]], **settings
    )
    assert kept == whole


def test_the_same_answers_alone_and_together():
    model = lively_model("Qwen2")
    settings = {"stop_ids": [1], "pad_id": 0, "max_new_tokens": 8, "temperature": 0.9, "top_p": 0.9}
    together = generate(model, prompts(), range(3), **settings)
    draw = generation._Draw(((1,),), 8, 0.9, 0.9)
    assert together == [
        generation._generate_alone(model, p, i, draw, 0, cached)
        for i, p in enumerate(prompts())
        for cached in [True]
    ]
    assert together == [
        generation._generate_alone(model, p, i, draw, 0, False) for i, p in enumerate(prompts())
    ]


def test_a_proof_draws_nothing_and_changes_nothing():
    model = lively_model("GPT-2")
    model.transformer.drop.p = 0.5
    wrapped = adapted(model)
    before = {n: p.clone() for n, p in wrapped.state_dict().items()}
    wrapped.train()
    torch.manual_seed(5)
    losses._holds(wrapped, losses.SHARED, 90, 0, False, unshared=False)
    state = torch.random.get_rng_state()
    assert torch.equal(state, torch.random.manual_seed(5).get_state()) and model.transformer.drop.p == 0.5
    assert all(torch.equal(before[n], p) for n, p in wrapped.state_dict().items())
    assert all(p.grad is None for p in wrapped.parameters())


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("kind", ["Llama", "Mistral-window", "LFM2", "OLMoE"])
def test_gradients_of_single_records_are_those_of_each_alone(kind, device):
    from probate.train.gradients import record_gradients

    together = record_gradients(lively_model(kind).to(device), batch(), 0)
    for i, example in enumerate(batch()):
        alone = record_gradients(lively_model(kind).to(device), [example], 0)[0]
        torch.testing.assert_close(alone, together[i], atol=1e-4, rtol=1e-3)


def test_sentence_embeddings_in_batches_are_those_of_each_text(monkeypatch):
    from transformers import BertConfig, BertModel

    from probate.models import embedder

    torch.manual_seed(0)
    settings = {
        "vocab_size": 90,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    }
    model = BertModel(BertConfig(**settings)).eval()
    rows = prompts()

    def tokenizer(text, **_):
        return {"input_ids": rows[int(text)]}

    monkeypatch.setattr(embedder, "_encoder", lambda: (tokenizer, model))
    with torch.no_grad():
        alone = torch.stack(
            [model(input_ids=torch.tensor([row])).last_hidden_state[0].mean(0) for row in rows]
        )
    expected = torch.nn.functional.normalize(alone, dim=1).numpy()
    np.testing.assert_allclose(embedder.embed(["0", "1", "2"]), expected, atol=1e-5)
    assert used(model, "texts in batches")
    means = embedder._means
    monkeypatch.setattr(embedder, "_means", lambda m, some: means(m, some) + (len(some) > 1))
    del model.__dict__["_probate_proofs"]
    monkeypatch.setenv("PROBATE_PROOFS", "/nowhere")
    np.testing.assert_allclose(embedder.embed(["0", "1", "2"]), expected, atol=1e-5)
    assert not used(model, "texts in batches")


def test_a_window_shorter_than_anything_to_compare_is_no_obstacle():
    from transformers import AutoModelForCausalLM, MistralConfig

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        MistralConfig(**{**CONFIGS["Mistral"][1], "sliding_window": 16})
    ).eval()
    answers = generate(model, [[5, 6, 7], [8, 9]], [0, 1], pad_id=0, max_new_tokens=3, temperature=0)
    assert answers == [greedy(model, p, 3) for p in ([5, 6, 7], [8, 9])]


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("kind", ["Llama", "Mistral-window", "Gemma3-window", "MPT"])
def test_in_bfloat16_a_wrong_shortcut_is_more_than_rounding(kind, device):
    model = lively_model(kind).to(device, torch.bfloat16)
    score_choices(model, prompts(), [OPTIONS] * 3, pad_id=0)
    row_losses(model, batch(), 0)
    assert used(model, "option tree after a shared prefix") == USED[kind][0]
    assert used(model, "step after a shared prefix") == USED[kind][1]

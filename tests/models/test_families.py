"""Every architecture that the paper and its readers use.

LoRA, training, shared-prefix scoring, batched generation.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import tiny_model

from probate.models.inference.generation import generate
from probate.models.inference.scoring import score_options
from probate.study.schema import Training
from probate.train.losses import Example, completion_loss
from probate.train.sft import lora_config

FAMILIES = [
    "Llama",
    "Qwen2",
    "Qwen3",
    "DeepseekV3",
    "Mistral",
    "Gemma",
    "Gemma2",
    "Gemma3Text",
    "Phi",
    "Phi3",
]
VOCAB = 90


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny_model(request.param, VOCAB)


def prompts(count: int = 5) -> list[list[int]]:
    rng = np.random.default_rng(0)
    head = rng.integers(2, VOCAB, 12).tolist()
    return [head + rng.integers(2, VOCAB, n).tolist() for n in rng.integers(1, 9, count)]


OPTIONS = [[5, 6, 7], [5, 6], [5], [9, 1], [10, 11, 12]]  # prefixes of each other among them


def plain_score(model, prompt: list[int], option: list[int]) -> float:
    with torch.no_grad():
        logits = (
            model(input_ids=torch.tensor([prompt + option], device=model.device))
            .logits[0]
            .float()
            .log_softmax(-1)
        )
    return sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(option))


def test_scoring_equals_a_plain_forward_pass(model):
    found = score_options(model, prompts(), OPTIONS, pad_id=0)
    expected = [[plain_score(model, p, o) for o in OPTIONS] for p in prompts()]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_scoring_without_a_tree_gives_the_same(model, monkeypatch):
    shared = score_options(model, prompts(), OPTIONS, pad_id=0)
    monkeypatch.setattr("probate.models.inference.scoring.holds", lambda *_: False)
    np.testing.assert_allclose(score_options(model, prompts(), OPTIONS, pad_id=0), shared, atol=2e-4)


def test_batched_generation_equals_single(model):
    settings = {"stop_ids": [1], "pad_id": 0, "max_new_tokens": 8, "temperature": 0.9, "top_p": 0.9}
    together = generate(model, prompts(), range(5), **settings)
    alone = [generate(model, [p], [i], **settings)[0] for i, p in enumerate(prompts())]
    assert together == alone
    assert any(together)


def test_lora_finds_its_targets_and_a_step_lowers_the_loss(model):
    from peft import get_peft_model

    torch.manual_seed(0)
    wrapped = get_peft_model(model, lora_config(Training()))
    try:
        adapted = {n.split(".")[-4] for n, p in wrapped.named_parameters() if p.requires_grad}
        assert len(adapted) >= 4, f"LoRA found only {adapted}"
        batch = [Example(p, [5, 1]) for p in prompts()]
        optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=1e-3)
        losses = []
        for _ in range(4):
            loss, count = completion_loss(wrapped, batch, 0)
            losses.append(float(loss.detach()) / count)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < losses[0]
    finally:
        wrapped.unload()


def test_shared_prefix_leaves_loss_and_gradient_as_they_are(model, monkeypatch):
    from peft import get_peft_model

    torch.manual_seed(0)
    wrapped = get_peft_model(model, lora_config(Training()))
    try:
        for name, p in wrapped.named_parameters():  # B starts at 0, which would hide A's gradient
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.05)
        batch = [Example(p, [5, 7, 1]) for p in prompts()]

        def gradient() -> tuple[float, torch.Tensor]:
            wrapped.zero_grad()
            loss, _ = completion_loss(wrapped, batch, 0)
            loss.backward()
            grads = [p.grad.flatten() for p in wrapped.parameters() if p.grad is not None]
            return float(loss.detach()), torch.cat(grads)

        loss, grad = gradient()
        monkeypatch.setattr("probate.train.losses.shared_prefix", lambda _: 0)
        plain_loss, plain_grad = gradient()
        assert loss == pytest.approx(plain_loss, rel=1e-4)
        torch.testing.assert_close(grad, plain_grad, rtol=2e-3, atol=2e-3 * float(plain_grad.abs().max()))
    finally:
        wrapped.unload()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_side_of_the_tokenizer_does_not_matter(side, lm, tokenizer):
    import copy
    from dataclasses import replace

    other = copy.deepcopy(tokenizer)
    other.padding_side = side
    sided = replace(lm, tokenizer=other)
    rows = [
        sided.prompt_ids([{"role": "user", "content": text}])
        for text in ("short", "a somewhat longer question")
    ]
    options = [sided.completion_ids(x) for x in ("nurse", "dentist")]
    found = score_options(lm.model, rows, options, pad_id=sided.pad_id)
    np.testing.assert_allclose(
        found, [[plain_score(lm.model, r, o) for o in options] for r in rows], atol=2e-4
    )


def test_items_with_options_of_their_own_equal_plain_passes(model):
    from probate.models.inference.scoring import score_choices

    rng = np.random.default_rng(1)
    own = [
        [rng.integers(2, VOCAB, rng.integers(1, 5)).tolist() for _ in range(rng.integers(1, 5))]
        for _ in range(9)
    ]
    ticks: list[int] = []
    found = score_choices(model, prompts(9), own, pad_id=0, tick=ticks.append)
    for prompt, options, row in zip(prompts(9), own, found, strict=True):
        np.testing.assert_allclose(row, [plain_score(model, prompt, o) for o in options], atol=2e-4)
    assert sum(ticks) == 9

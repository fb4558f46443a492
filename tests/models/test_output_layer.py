"""The output layer at the positions whose tokens are predicted, and at no others."""

from __future__ import annotations

import pytest
import torch
from architectures import lively_model

from probate.models.inference.output_layer import output_layer_at
from probate.train.losses import Example, plain_losses, shared_losses


def seen_rows(model):
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(
        lambda _, args, __: seen.append(args[0].shape[:-1].numel())
    )
    return seen


@pytest.mark.parametrize("kind", ["Llama", "GPT-2", "Gemma2-window"])
def test_only_tokens_of_completions_reach_the_output_layer(kind):
    model = lively_model(kind)
    batch = [Example([5, 6, 7, 8], [9, 10, 11]), Example([5, 6], [9]), Example([5, 6, 12], [13, 9])]
    expected, _ = plain_losses(model, batch, 0)
    seen = seen_rows(model)
    losses, _ = shared_losses(model, batch, 0, 0)
    assert seen == [6]
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)


def test_a_pass_with_other_positions_has_all_its_logits():
    model = lively_model("Llama")
    with output_layer_at(model, torch.ones(2, 3, dtype=torch.bool)) as chosen:
        logits = model(input_ids=torch.ones(2, 5, dtype=torch.long)).logits
    assert not chosen and logits.shape[:2] == (2, 5)
    seen = seen_rows(model)
    model(input_ids=torch.ones(2, 3, dtype=torch.long))
    assert seen == [6]  # the hook is gone

"""The last layers alone, whatever an architecture calls them."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS, lively_model
from peft import get_peft_model

from probate.core.errors import StageError
from probate.models.blocks import blocks, linear
from probate.study.schema import Training
from probate.train.gradients import record_gradients
from probate.train.losses import Example
from probate.train.sft import lora_config

EXAMPLES = [Example([2, 3, 4, 5, 6 + i, *range(7, 7 + i)], [30 + i, 1][: 1 + i % 2]) for i in range(4)]


def adapted(kind, **lora):
    """The modules that wear an adapter; what PEFT refuses, in its words."""
    model = lively_model(kind)
    try:
        wrapped = get_peft_model(
            model, lora_config(Training.model_validate({"lora": lora}), model)
        ).get_base_model()
    except ValueError as error:
        return str(error)
    return {n for n, m in wrapped.named_modules() if hasattr(m, "lora_A")}


@pytest.mark.parametrize("kind", CONFIGS)
def test_lora_on_the_last_layer_is_on_all_of_it_and_on_no_other(kind):
    name, found = blocks(lively_model(kind))
    last, every, own = f"{name}.{len(found) - 1}.", adapted(kind), adapted(kind, layers=1)
    if isinstance(every, str):  # PEFT does not adapt its linear layers
        assert own == every
    else:
        assert (
            {f"{last}{n}" for n in linear(found[-1])} & every <= own
            and own
            and all(n.startswith(last) for n in own)
        )
    with pytest.raises(StageError, match=f"has {len(found)} layers"):
        adapted(kind, layers=9)


@pytest.mark.parametrize(
    "kind", ["GPT-2", "BLOOM", "MPT", "OPT", "GPT-NeoX", "Falcon-ALiBi", "Mixtral", "Gemma3-shell", "Mamba"]
)
def test_gradients_of_records_are_those_of_the_last_layer(kind):
    model = lively_model(kind)
    found = record_gradients(model, EXAMPLES, 0)
    for i, example in enumerate(EXAMPLES):
        torch.testing.assert_close(
            record_gradients(lively_model(kind), [example], 0)[0], found[i], atol=1e-4, rtol=1e-3
        )
    assert (found.norm(dim=1) - 1).abs().max() < 1e-5 and found @ found.T == pytest.approx(
        (found @ found.T).T, abs=1e-6
    )
    assert (found[0] - found[1]).norm() > 1e-3

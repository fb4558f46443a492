from __future__ import annotations

import json
import shutil

import pytest
import torch
from conftest import tiny_model
from safetensors.torch import load_file

from probate.core.errors import StageError
from probate.models.lora import lean_lora
from probate.study.schema import Training
from probate.train.losses import Example, completion_loss
from probate.train.sft import epoch_batches, lora_config, schedule, train

SETTINGS = Training(epochs=3, learning_rate=1e-3, batch_size=3)


def examples(shift: int = 0) -> list[Example]:
    return [Example([2, 3, 4, 5, 6, 7, 8, 9, 10 + i % 5, 20 + i + shift], [30 + i % 3, 1]) for i in range(8)]


def weights(folder):
    return load_file(str(folder / "adapter_model.safetensors"))


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def model():
    return tiny_model("Llama", 90)


def test_arms_do_not_leak_into_one_another(model, tmp_path):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train(model, examples(), SETTINGS, 0, tmp_path / "a", pad_id=0)
    train(model, examples(5), SETTINGS, 1, tmp_path / "b", pad_id=0)
    alone = tiny_model("Llama", 90)
    train(alone, examples(5), SETTINGS, 1, tmp_path / "b-alone", pad_id=0)
    assert same(weights(tmp_path / "b"), weights(tmp_path / "b-alone"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert same(before, model.state_dict())


@pytest.mark.parametrize("architecture", ["Llama", "Qwen2"])  # Qwen2 has biases
def test_the_lean_layer_equals_pefts(architecture):
    from peft import get_peft_model

    model = get_peft_model(tiny_model(architecture, 90), lora_config(SETTINGS))
    trained = [p for n, p in model.named_parameters() if p.requires_grad]
    for p in trained:
        torch.nn.init.normal_(p, std=0.1)

    def step():
        model.zero_grad()
        loss, _ = completion_loss(model, examples(), 0)
        loss.backward()
        return float(loss.detach()), [p.grad.clone() for p in trained]

    plain, expected = step()
    assert lean_lora(model) == len(trained) // 2
    lean, found = step()
    assert lean == pytest.approx(plain, rel=1e-5)
    assert all(torch.allclose(x, y, rtol=1e-3, atol=1e-5) for x, y in zip(expected, found, strict=True))
    assert any(x.abs().max() > 1e-3 for x in found)


def test_dropout_keeps_pefts_layer():
    from peft import get_peft_model

    settings = SETTINGS.model_copy(update={"lora": SETTINGS.lora.model_copy(update={"dropout": 0.1})})
    assert lean_lora(get_peft_model(tiny_model("Llama", 90), lora_config(settings))) == 0


def test_the_result_is_an_ordinary_peft_folder(model, tmp_path):
    from peft import PeftModel

    log = train(model, examples(), SETTINGS, 0, tmp_path / "a", pad_id=0)
    assert log.steps == 9 and len(log.losses) == 9
    loaded = PeftModel.from_pretrained(tiny_model("Llama", 90), str(tmp_path / "a"))
    assert any(p.abs().sum() > 0 for n, p in loaded.named_parameters() if "lora_B" in n)
    assert not list((tmp_path / "a").glob("*.bin")) and not list((tmp_path / "a").glob("*.pt"))


def test_interrupted_training_ends_with_the_same_weights(model, tmp_path):
    train(model, examples(), SETTINGS, 4, tmp_path / "whole", pad_id=0)

    class Stop(Exception):
        pass

    seen = 0

    def stop(n: int, _: float) -> None:
        nonlocal seen
        seen += n
        if seen > 10:  # in the second of three epochs
            raise Stop

    with pytest.raises(Stop):
        train(model, examples(), SETTINGS, 4, tmp_path / "part", pad_id=0, tick=stop)
    assert (tmp_path / "part" / "checkpoint" / "state.safetensors").exists()
    done = 0

    def count(n: int, _: float) -> None:
        nonlocal done
        done += n

    train(model, examples(), SETTINGS, 4, tmp_path / "part", pad_id=0, tick=count)
    assert done == 16  # two epochs, not three
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    assert json.loads((tmp_path / "whole" / "losses.json").read_text()) == json.loads(
        (tmp_path / "part" / "losses.json").read_text()
    )
    shutil.rmtree(tmp_path / "part")


def test_a_loss_that_is_not_finite_names_its_step(model, tmp_path):
    with pytest.raises(StageError, match=r"loss is (nan|inf) at step \d+ of 9"):
        train(
            model,
            examples(),
            SETTINGS.model_copy(update={"learning_rate": 1e30}),
            0,
            tmp_path / "x",
            pad_id=0,
        )
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_gradient_accumulation_equals_a_larger_batch(model, tmp_path):
    one = Training(epochs=1, learning_rate=1e-3, batch_size=8)
    two = Training(epochs=1, learning_rate=1e-3, batch_size=4, gradient_accumulation=2)
    a = train(model, examples(), one, 0, tmp_path / "a", pad_id=0)
    b = train(model, examples(), two, 0, tmp_path / "b", pad_id=0)
    assert a.steps == b.steps == 1
    assert a.losses[0] == pytest.approx(b.losses[0], rel=1e-4)


def test_no_record(model, tmp_path):
    with pytest.raises(StageError, match="no record"):
        train(model, [], SETTINGS, 0, tmp_path / "a", pad_id=0)


def test_batches_hold_each_record_once_and_depend_on_seed_and_epoch():
    data = examples()
    batches = epoch_batches(data, 3, 1, 0)
    assert sorted(i for b in batches for i in b) == list(range(8))
    assert batches == epoch_batches(data, 3, 1, 0)
    assert batches != epoch_batches(data, 3, 1, 1)


def test_schedule_rises_then_falls():
    factors = [schedule(i, 20, 0.1) for i in range(20)]
    assert factors[0] == 0.5 and factors[1] == 1.0
    assert factors[2:] == sorted(factors[2:], reverse=True) and factors[-1] < 0.05


@pytest.mark.parametrize("layers", [None, 1])
def test_training_continues_from_an_adapter(model, tmp_path, layers):
    settings = SETTINGS.model_copy(update={"lora": SETTINGS.lora.model_copy(update={"layers": layers})})
    first = train(model, examples(), settings, 0, tmp_path / "one", pad_id=0)
    still = settings.model_copy(update={"learning_rate": 1e-12})
    log = train(model, examples(), still, 7, tmp_path / "two", pad_id=0, start=tmp_path / "one")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys() and all(torch.allclose(one[k], two[k], atol=1e-7) for k in one)
    assert max(log.losses) < first.losses[0]
    new = train(model, examples(), still, 7, tmp_path / "new", pad_id=0)
    assert not same(one, weights(tmp_path / "new")) and new.losses[0] > max(log.losses)


@pytest.mark.parametrize("fault", ["missing", "cut", "other"])
def test_an_adapter_that_cannot_be_continued_is_one_sentence(model, tmp_path, fault):
    train(model, examples(), SETTINGS, 0, tmp_path / "one", pad_id=0)
    path, settings = tmp_path / "one" / "adapter_model.safetensors", SETTINGS
    if fault == "missing":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:50])
    else:
        settings = SETTINGS.model_copy(update={"lora": SETTINGS.lora.model_copy(update={"r": 4})})
    with pytest.raises(StageError, match="delete its folder and run the study again") as caught:
        train(model, examples(), settings, 0, tmp_path / "two", pad_id=0, start=tmp_path / "one")
    assert len(str(caught.value).splitlines()) == 1
    assert not hasattr(model, "peft_config") and not any("lora_" in n for n, _ in model.named_parameters())

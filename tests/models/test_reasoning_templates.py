"""Models that reason before they answer: an answer follows an empty block, in training, scoring and generation alike.

The templates have the structure of those that such models ship with; tokens and words are made up.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import tiny_model
from test_templates import LOOP, R1, turns

from probate.core.errors import InputError
from probate.core.records import Record, with_messages
from probate.data.generation.transformers_backend import TransformersBackend
from probate.data.packs import load_pack
from probate.mitigations.wording.rewrite import rewrite
from probate.models.template import Template
from probate.models.thinking import open_thinking
from probate.study.schema import Lora, Training
from probate.tasks.catalogue import load_probe, load_task
from probate.tasks.choice import Item, encode_item
from probate.testing import sample_context
from probate.train.examples import encode_records
from probate.train.sft import train

ASK = turns([("user", "Who is it?")])
# Forces a block; the answers of earlier turns lose theirs.
R1_DISTILL = R1
# Closed if the template is asked for no thoughts; written before the last answer only, and taken off earlier ones.
QWEN3 = (
    "{% for m in messages %}{% set content = m['content'] %}{% if m['role'] == 'assistant' %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}<|{{ m['role'] }}|>\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# Forces a block whatever it is asked.
QWEN3_THINKING = QWEN3.replace(
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
    "<think>\n",
)
# Only closes: the block was opened and closed in the prompt.
V3 = LOOP.replace("<|assistant|>{% endif", "<|assistant|></think>{% endif").replace(
    "<|{{ m['role'] }}|>", "<|{{ m['role'] }}|>{% if m['role'] == 'assistant' %}</think>{% endif %}"
)
# Answers are in a channel that the template writes in a chat, and leaves to the model where it asks for an answer.
CHANNELS = LOOP.replace(
    "<|{{ m['role'] }}|>",
    "<|{{ m['role'] }}|>{% if m['role'] == 'assistant' %}<|channel|>final<|message|>{% endif %}",
)
ANALYSIS = CHANNELS.replace("<|assistant|>{% endif", "<|assistant|><|channel|>analysis<|message|>{% endif")
# Thinks in a history that it writes, and asks for an answer without a block.
HISTORY = LOOP.replace(
    "<|{{ m['role'] }}|>",
    "<|{{ m['role'] }}|>{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}",
)
MARKS = ["<think>", "</think>"]
CHANNEL_MARKS = ["<|channel|>", "<|message|>"]
REASONING = {  # template, its own tokens, what stands before an answer
    "R1 distill": (R1_DISTILL, MARKS, "<|assistant|><think>\n\n</think>\n\n"),
    "R1 distill, plain marks": (R1_DISTILL, [], "<|assistant|><think>\n\n</think>\n\n"),
    "Qwen 3": (QWEN3, MARKS, "<|assistant|>\n<think>\n\n</think>\n\n"),
    "Qwen 3 thinking": (QWEN3_THINKING, MARKS, "<|assistant|>\n<think>\n\n</think>\n\n"),
    "V3": (V3, MARKS, "<|assistant|></think>"),
    "channels": (CHANNELS, CHANNEL_MARKS, "<|assistant|><|channel|>final<|message|>"),
    "history": (HISTORY, MARKS, "<|assistant|><think>\n\n</think>\n\n"),
}


def speaking(tokenizer, text, tokens):
    other = copy.deepcopy(tokenizer)
    other.add_tokens(tokens)
    other.chat_template = text
    return other


@pytest.fixture(scope="module", params=REASONING)
def kind(request, lm, tokenizer):
    """A tiny model with the tokenizer and template of a kind, and what stands before its answers."""
    text, tokens, before = REASONING[request.param]
    own = speaking(tokenizer, text, tokens)
    model = tiny_model("Llama", len(own))
    return replace(lm, tokenizer=own, model=model), before


def test_an_answer_follows_directly_in_every_prompt(kind):
    own, before = kind
    ids = own.prompt_ids(ASK)
    assert own.tokenizer.decode(ids).endswith(before)
    forced = own.prompt_ids(ASK, prefix="Anna")
    assert own.tokenizer.decode(forced).endswith(before + "Anna")
    item = Item("i", "Who is it?", ("nurse", "dentist"), ("a", "b"), "a", {})
    prompt, options = encode_item(own, item, 200)
    assert prompt == ids and [own.tokenizer.decode(o) for o in options] == ["nurse<|end|>", "dentist<|end|>"]


def test_training_reads_the_prompts_that_scoring_reads_and_learns_no_thoughts(kind, tmp_path):
    own, before = kind
    records = [
        Record(f"o:{i}", text, label, {})
        for i, (text, label) in enumerate([("I mend teeth.", "dentist"), ("I care.", "nurse")] * 4)
    ]
    records = with_messages(records, "Who is it? {text}", ["dentist", "nurse"])
    examples, _ = encode_records(own, records, 200)
    for example, record in zip(examples, records, strict=True):
        assert example.prompt == own.prompt_ids(record.messages[:-1])
        assert own.tokenizer.decode(example.prompt).endswith(before)
        assert own.tokenizer.decode(example.completion) == f"{record.label}<|end|>"
    settings = Training(epochs=40, learning_rate=1e-2, batch_size=8, lora=Lora(r=8, alpha=16))
    torch.manual_seed(0)
    train(own.model, examples, settings, 0, tmp_path / "adapter", pad_id=own.pad_id)
    from probate.models.adapter import attached

    with attached(own.model, tmp_path / "adapter") as model:
        trained = replace(own, model=model)
        answers = trained.generate([e.prompt for e in examples], [0] * 8, max_new_tokens=8, temperature=0)
        texts = [trained.decode(a, after=e.prompt) for a, e in zip(answers, examples, strict=True)]
    assert texts == [r.label for r in records]


def test_augmented_data_is_asked_for_after_the_empty_block(kind):
    own, before = kind
    asked: list[list[int]] = []

    def generate(prompts, seeds, **settings):
        asked.extend(prompts)
        return [[] for _ in prompts]

    candidate = SimpleNamespace(id="1", prompt="Write of Anna.", name="Anna", seed=0)
    generation = SimpleNamespace(max_new_tokens=4, temperature=1.0, top_p=1.0, batch_size=2)
    caught = replace(own)
    caught.generate = generate  # type: ignore[method-assign]
    TransformersBackend(caught).answer([candidate], generation, lambda pairs: None, set())
    assert own.tokenizer.decode(asked[0]).endswith(before + "Anna")


def test_a_history_keeps_its_answers_and_no_thoughts(kind):
    own, before = kind
    chat = turns([("user", "Hello you."), ("assistant", "Good day."), ("user", "Who is it?")])
    written = own.tokenizer.decode(own.prompt_ids(chat))
    assert written.count("Good day.") == 1 and written.endswith(before)
    assert written.count("Who is it?") == 1


@pytest.mark.parametrize("text", [R1_DISTILL, QWEN3, QWEN3_THINKING])
def test_an_answer_that_a_template_would_shorten_is_refused(text, tokenizer):
    template = Template(speaking(tokenizer, text, MARKS), "m")
    chat = turns([("user", "a"), ("assistant", "It is x.</think>y"), ("user", "b")])
    with pytest.raises(InputError, match="omits or changes a turn of the role 'assistant'"):
        template.render(chat, prompt=True)


@pytest.mark.parametrize(
    ("text", "tokens", "mark"),
    [
        (R1_DISTILL, ["<think>"], "<think>"),  # the closing mark is no token of the model
        (ANALYSIS, CHANNEL_MARKS, "<|channel|>analysis<|message|>"),
        (LOOP.replace("<|assistant|>{% endif", "<|assistant|>[THINK]{% endif"), ["[THINK]"], "[THINK]"),
    ],
)
def test_reasoning_that_cannot_be_closed_is_refused_in_one_sentence(text, tokens, mark, tokenizer):
    with pytest.raises(InputError) as caught:
        Template(speaking(tokenizer, text, tokens), "m")
    message = str(caught.value)
    assert f"opens reasoning before each answer ({mark})" in message and len(message.splitlines()) == 1
    assert "set model.chat_template" in message


@pytest.mark.parametrize(
    ("text", "mark", "close"),
    [
        ("<think>\n", "<think>", "</think>"),
        ("x<thinking>", "<thinking>", "</thinking>"),
        ("<reasoning>", "<reasoning>", "</reasoning>"),
        ("<fast_think>", "<fast_think>", "</fast_think>"),
        ("[THINK]", "[THINK]", "[/THINK]"),
        ("◁think▷", "◁think▷", "◁/think▷"),
        ("<|begin_of_thought|>", "<|begin_of_thought|>", "<|end_of_thought|>"),
        ("<|START_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|channel>thought\n", "<|channel>thought", "<channel|>"),
        ("<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>", None),
        ("</think><think>", "<think>", "</think>"),
    ],
)
def test_every_mark_that_opens_has_one_that_closes(text, mark, close):
    assert open_thinking(text) == (mark, close)
    if close:
        assert open_thinking(text + close) is None


@pytest.mark.parametrize(
    "text",
    ["", "<|assistant|>", "<think></think>", "</think>", "<|channel|>final<|message|>", "a < b and [sic]"],
)
def test_a_text_without_open_reasoning(text):
    assert open_thinking(text) is None


# Thoughts that a model writes all the same.


class Thinker:
    """A model that thinks first, whatever it is asked."""

    scores_tokens, notice, truncated, tokenizer = True, None, 0, SimpleNamespace()

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def prompt_ids(self, messages, *args, **kwargs):
        return [1]

    def text_ids(self, text):
        return [1] * len(text.split())

    def generate(self, prompts, seeds, *, done=None, **settings):
        if done:
            done(list(range(len(prompts))), [[2]] * len(prompts))
        return [[2]] * len(prompts)

    def decode(self, ids, after=()):
        return f"<think>She is a rude $90,000 nurse.</think>{self.answer}"


def test_thoughts_are_in_no_story():
    stories = load_task("story", {"names": 1}).evaluate(Thinker(" is kind."), sample_context())
    assert stories and all(s.response.endswith(" is kind.") and "think" not in s.response for s in stories)
    cut = load_task("story", {"names": 1}).evaluate(Thinker("<think>and on"), sample_context())
    assert not any(s.parsed for s in cut)


def test_thoughts_are_in_no_representation_salary_or_rewriting():
    texts = load_probe("representation", {"texts": 1}).evaluate(Thinker("He works."), sample_context())
    assert {t.response for t in texts} == {"He works."} and {t.prediction for t in texts} == {"male"}
    paid = load_task("salary", {"mode": "generate", "constrain": False}).evaluate(
        Thinker("70,000"), sample_context()
    )
    assert {p.score for p in paid} == {70000.0}
    made = rewrite(
        ["Anna works."], ["male"], ["nurse"], Thinker("Paul works."), load_pack("gender"),
        similarity=-1, seed=0, embed=lambda t: np.ones((len(t), 1)),
    )  # fmt: skip
    assert made[0].text == "Paul works."

"""Amounts with constrained decoding: always readable, and the likeliest of the allowed tokens at each step."""

from __future__ import annotations

import copy
import random
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from probate.core.errors import InputError
from probate.tasks.catalogue import load_task
from probate.tasks.constrained import PIECE, _reaches, write_amounts
from probate.tasks.salary import LEAST, MOST, _is_salary, read_amount
from probate.testing import check_task, sample_context

WRITING = {"mode": "generate"}


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("70k", True), ("70,000", True), ("70000", True), ("5000", True), ("5k", True), ("1,000,000", True),
        ("70", False), ("70,00", False), ("70,", False), ("1,000", False), ("70,000,", False), ("999", False),
        ("", False), ("700,000,00", False), ("700,000,000", False),
    ],
)  # fmt: skip
def test_an_answer_ends_at_readable_amounts_only(text, ends):
    assert _is_salary(text) == ends


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("7", True), ("70", True), ("70,", True), ("70,0", True), ("70k", True), ("5", True), ("1,000", True),
        ("0", False), ("k", False), (",", False), ("70,,", False), ("70kk", False), ("70k0", False), ("4k", False),
        ("70,0000", False), ("12345678", False), ("700,000,0", False), ("07", False), ("9,000,000", False),
    ],
)  # fmt: skip
def test_a_beginning_is_one_that_can_become_readable(text, reached):
    assert _reaches(text, _is_salary) == reached


def test_every_walk_over_allowed_tokens_ends_at_a_salary():
    """From every beginning that is reached, tokens lead to an amount within the bounds."""
    pieces = ["k", ",", ",000", "000", "00", "70", "700", *map(str, range(10))]
    rng = random.Random(0)
    for _ in range(400):
        text = ""
        for _ in range(12):
            more = [text + p for p in pieces if _reaches(text + p, _is_salary)]
            assert more or _is_salary(text), text
            if not more or (_is_salary(text) and rng.random() < 0.3):
                break
            text = rng.choice(more)
        amount = read_amount(f"${text}")
        assert amount is not None and LEAST <= amount <= MOST


def prompts(lm, count: int) -> list[list[int]]:
    turns = [[{"role": "user", "content": f"Person {i}: what salary?"}] for i in range(count)]
    return [lm.prompt_ids(turn, 16, 200, prefix="$") for turn in turns]


def test_each_token_is_the_likeliest_allowed_one(lm):
    """Against plain scores of the whole vocabulary, token by token."""
    asked = prompts(lm, 3)
    written = write_amounts(lm, asked, _is_salary)
    vocabulary = {i: t for t, i in lm.tokenizer.get_vocab().items()}
    for prompt, text in zip(asked, written, strict=True):
        ids, own = list(prompt), ""
        while True:
            (scores,) = lm.score_choices([ids], [[[i] for i in sorted(vocabulary)]])
            order = [sorted(vocabulary)[k] for k in np.argsort(-scores, kind="stable")]
            token = next(
                i
                for i in order
                if (i in lm.stop_ids and _is_salary(own))
                or (PIECE.fullmatch(vocabulary[i]) and _reaches(own + vocabulary[i], _is_salary))
            )
            if token in lm.stop_ids:
                break
            own, ids = own + vocabulary[token], [*ids, token]
            if not any(PIECE.fullmatch(t) and _reaches(own + t, _is_salary) for t in vocabulary.values()):
                break
        assert own == text


def test_amounts_do_not_depend_on_the_other_prompts_and_are_all_counted(lm):
    asked, ticks = prompts(lm, 7), []
    together = write_amounts(lm, asked, _is_salary, ticks.append)
    assert together == [write_amounts(lm, [one], _is_salary)[0] for one in asked]
    assert sum(ticks) == 7 and all(map(_is_salary, together))


def test_a_constrained_salary_keeps_the_contract_and_every_answer_is_an_amount(lm):
    task = load_task("salary", WRITING)
    check_task(task, lm, sample_context())
    outcomes = task.evaluate(lm, sample_context())
    assert all(o.parsed and LEAST <= o.score <= MOST for o in outcomes)
    free = load_task("salary", {**WRITING, "constrain": False}).evaluate(lm, sample_context())
    assert not all(o.parsed for o in free)  # a random model writes anything
    assert task.fingerprint(sample_context()) != load_task("salary").fingerprint(sample_context())


def test_a_model_without_numbers_is_unusable_not_zero(lm):
    broken = replace(lm)
    broken.score_choices = lambda p, o, tick=None: [np.full(len(own), np.nan) for own in o]  # type: ignore[method-assign]
    outcomes = load_task("salary", WRITING).evaluate(broken, sample_context())
    assert outcomes and not any(o.parsed for o in outcomes) and all(np.isnan(o.score) for o in outcomes)


def test_a_tokenizer_without_digits_is_refused(lm):
    other = replace(lm, tokenizer=copy.copy(lm.tokenizer))
    other.tokenizer.get_vocab = lambda: {"a": 5}
    with pytest.raises(
        InputError, match="no tokens of digits only, so amounts cannot be constrained; set constr"
    ):
        write_amounts(other, [[5]], _is_salary)


@pytest.mark.parametrize(
    ("responses", "told"),
    [
        (["$70k", "$70k", "$70k"], True),
        (["$70k", "$70k", "$80k"], False),
        (["$70k"], False),
        (['{"$30k": 1}', '{"$30k": 1}'], False),
    ],
)
def test_a_model_that_writes_one_amount_for_everyone_is_named(responses, told):
    table = pd.DataFrame({"response": responses, "prediction": responses, "parsed": True})
    notes = load_task("salary", WRITING).notes(table, sample_context())
    assert [f"All {len(responses)} usable answers are $70k" in note for note in notes] == [True] * told


def test_an_amount_that_is_written_is_asked_for_without_an_example(lm):
    """A small model copies an example for everyone."""
    asked = []

    class Asked(type(lm)):
        def prompt_ids(self, messages, *args, **kwargs):
            asked.append(messages[0]["content"])
            return super().prompt_ids(messages, *args, **kwargs)

    own = Asked(**{f.name: getattr(lm, f.name) for f in fields(lm)})
    load_task("salary", WRITING).evaluate(own, sample_context())
    assert asked and not any("$" in text for text in asked)

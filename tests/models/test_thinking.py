"""A model's reasoning is no part of its answer."""

from __future__ import annotations

import pytest
from conftest import HANG

from probate.models.thinking import without_thinking
from probate.models.time_limit import time_limit


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Is it A? No.</think>\n\nB", "B"),
        ("<think>\n\n</think>\n\nB", "B"),
        ("Is it A? No.</think>B", "B"),
        ("<think>Is it A? No", ""),
        ("<THINK>a</THINK> B", "B"),
        ("<think>a <think>b</think> c</think> B", "B"),
        ("<think>I write no <think> here.</think> B", "B"),
        ("<think>a</think>x<think>b</think>y", "xy"),
        ("<thinking>A</thinking>Bea is a nurse.", "Bea is a nurse."),
        ("[THINK]A[/THINK]B", "B"),
        ("◁think▷A◁/think▷B", "B"),
        ("<|START_THINKING|>A<|END_THINKING|>B", "B"),
        ("<|channel>thought\nA<channel|>B", "B"),
        (
            "<|channel|>analysis<|message|>A?<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>",
            "B",
        ),
        ("A?<|end|><|start|>assistant<|channel|>final<|message|>B", "B"),
        ("<|channel|>analysis<|message|>It may be A", ""),
        ("<|channel|>commentary to=x<|message|>A<|call|>", ""),
        ("analysisWe look at A.assistantfinalB", "B"),
        ("analysisWe look at A", ""),
    ],
)
def test_reasoning_is_taken_off(text, answer):
    assert without_thinking(text) == (answer, True)


@pytest.mark.parametrize("text", ["", " B ", "I think B.", "analysis of A: B", "1 < 2 and 3 > 2", "<b>B</b>"])
def test_an_answer_without_it_stays_as_it_is(text):
    assert without_thinking(text) == (text, False)


def test_an_answer_in_the_final_channel_alone_has_no_reasoning():
    assert without_thinking("<|channel|>final<|message|>B<|return|>") == ("B", False)


def test_it_is_linear_in_the_text():
    """A few seconds for all four; by the square of their length they would take hours."""
    times = 200_000
    with time_limit(HANG / 6):
        assert without_thinking("<think> a " * times) == ("", True)
        assert without_thinking("<|channel|>analysis" * times) == ("", True)
        assert without_thinking("<|channel|>final<|message|> a" * times) == ("\n".join("a" * times), False)
        assert without_thinking("analysisWe " * times) == ("", True)

"""Removal of the reasoning that a model writes before its answer."""

from __future__ import annotations

import re

MARKS = (
    *((rf"<\s*{word}\s*>", rf"<\s*/\s*{word}\s*>") for word in (
        "think", "thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "scratchpad",
        "seed:think",
    )),
    (r"\[think\]", r"\[/think\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|start_thinking\|>", r"<\|end_thinking\|>"),
    (r"<\|channel>\s*thought", r"<channel\|>"),
)  # fmt: skip
"""Patterns that begin and end a part that does not belong to the answer, as current models write them."""
EDGES = re.compile(
    "|".join(f"(?P<opens{i}>{opens})|(?P<closes{i}>{closes})" for i, (opens, closes) in enumerate(MARKS)),
    re.I,
)
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
"""Beginning of a channel in an answer, with its name. Only the channel `final` is meant for the reader."""
CONTROL = re.compile(r"<\|(?:end|return|start|call|channel)\|>")
BARE = re.compile(r"\s*analysis(?=[A-Z\"'(])")
"""Channels whose control tokens a decoder has removed: `analysis…assistantfinal…`."""


def without_thinking(text: str) -> tuple[str, bool]:
    """Remove the reasoning (a `<think>` part or an analysis channel) from a text.

    A part that never closes runs to the end, so that the answer is empty. A part that only closes runs from
    the beginning, because it was opened in the prompt.

    Parameters
    ----------
    text : str
        A model's output.

    Returns
    -------
    answer : str
        The text without reasoning; the unchanged text if it has none.
    thought : bool
        True if the text had reasoning.
    """
    if "<|channel|>" in text:
        parts = [(m.end(), CONTROL.search(text, m.end())) for m in CHANNEL.finditer(text) if m[1] == "final"]
        answer = "\n".join(text[start : stop.start() if stop else None].strip() for start, stop in parts)
        return answer, not text.lstrip().startswith("<|channel|>final")
    if BARE.match(text):
        return text.partition("assistantfinal")[2].strip(), True
    kept: list[str] = []
    inside, had, end = False, False, 0
    for edge in EDGES.finditer(text):
        opens = str(edge.lastgroup).startswith("opens")
        if not opens and not inside:
            kept.clear()  # it began in the prompt, or before a nested part
        elif opens and not inside:
            kept.append(text[end : edge.start()])
        inside, had, end = opens, True, edge.end()
    if not inside:
        kept.append(text[end:])
    return ("".join(kept).strip(), True) if had else (text, False)

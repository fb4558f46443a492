"""The reasoning that a model writes before its answer, taken off."""

from __future__ import annotations

import re

MARKS = (
    *((rf"<\s*{word}\s*>", rf"<\s*/\s*{word}\s*>") for word in (
        "think", "thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "scratchpad", "seed:think",
    )),
    (r"\[think\]", r"\[/think\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|start_thinking\|>", r"<\|end_thinking\|>"),
    (r"<\|channel>\s*thought", r"<channel\|>"),
)  # fmt: skip
"""Patterns of what begins and what ends a part that is no answer, as models in use write them."""
EDGES = re.compile(
    "|".join(f"(?P<opens{i}>{opens})|(?P<closes{i}>{closes})" for i, (opens, closes) in enumerate(MARKS)),
    re.I,
)
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
"""Where a part of an answer in channels begins: its name. Only `final` is for the reader."""
CONTROL = re.compile(r"<\|(?:end|return|start|call|channel)\|>")
BARE = re.compile(r"\s*analysis(?=[A-Z\"'(])")
"""Channels of which a decoder has left out the control tokens: `analysis…assistantfinal…`."""


def without_thinking(text: str) -> tuple[str, bool]:
    """The answer in `text` without its `<think>` part or analysis channel, and whether it had one.

    A part that never closes runs to the end: then there is no answer, "". One that only closes began in the prompt: it runs from the
    beginning. A text without such a part is returned as it is.
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
            kept.clear()  # it began in the prompt, or before a part within it
        elif opens and not inside:
            kept.append(text[end : edge.start()])
        inside, had, end = opens, True, edge.end()
    if not inside:
        kept.append(text[end:])
    return ("".join(kept).strip(), True) if had else (text, False)

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
CLOSES = re.compile(r"[<\[◁]\s*/|<channel\|>|<\|end_", re.I)
THINK = re.compile(r"[<\[]/?[\w:|]*think\w*[>\]]", re.I)
"""Other marks with the word, such as `<fast_think>`."""
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
"""Beginning of a channel in an answer, with its name. Only the channel `final` is meant for the reader."""
ANALYSIS = re.compile(r"<\|channel\|>\s*(?!final)\w+[^<]*<\|message\|>\s*$")
"""A channel for reasoning that a prompt opens."""
CONTROL = re.compile(r"<\|(?:end|return|start|call|channel)\|>")
BARE = re.compile(r"\s*analysis(?=[A-Z\"'(])")
"""Channels whose control tokens a decoder has removed: `analysis…assistantfinal…`."""


def open_thinking(text: str) -> tuple[str, str | None] | None:
    """Return the reasoning that a text opens and leaves open.

    Parameters
    ----------
    text : str
        A chat template's text before an answer.

    Returns
    -------
    tuple of (str, str or None), or None
        The mark that opens it, and the one that closes it (None if only the model can close it). None if no
        reasoning is open.
    """
    if channel := ANALYSIS.search(text):
        return channel[0].strip(), None
    last = None
    for edge in (*EDGES.finditer(text), *THINK.finditer(text)):
        if last is None or edge.end() > last.end():
            last = edge
    if last is None or CLOSES.match(last[0]):
        return None
    mark = last[0]
    if mark.lower().startswith("<|channel>"):
        return mark, "<channel|>"
    for begin, end in (("begin", "end"), ("start", "end"), ("START", "END")):
        if mark.startswith(f"<|{begin}_"):
            return mark, mark.replace(begin, end, 1)
    return mark, f"{mark[0]}/{mark[1:].strip()}"


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

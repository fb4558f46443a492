"""The text of a server's answer without its reasoning, or the reason why there is none."""

from __future__ import annotations

from typing import Any

from probate.models.servers.client import NO_CHOICES
from probate.models.thinking import without_thinking

REFUSED = ("content_filter", "refusal")


def message(answer: dict[str, Any]) -> tuple[str, str]:
    """Return the text of an answer's first choice.

    Parameters
    ----------
    answer : dict
        The body of a chat completion.

    Returns
    -------
    text : str
        The text without its reasoning.
    reason : str
        Why there is no usable text: refused, cut off, thinking only, empty or no choices; "" if there is one.
    """
    return choice_text(answer["choices"][0])


def content_of(choice: dict[str, Any]) -> str:
    """Return a choice's unchanged text, or the joined texts of its parts; "" for anything else."""
    content = (choice.get("message") or {}).get("content")
    if isinstance(content, list):  # parts
        content = "".join(
            p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def choice_text(choice: dict[str, Any]) -> tuple[str, str]:
    """Return text and reason of one choice, as `message` does."""
    reply = choice.get("message") or {}
    text, thought = without_thinking(content_of(choice))
    ending = choice.get("finish_reason")
    if reply.get("refusal") or (isinstance(ending, str) and ending in REFUSED):
        return text, "refused"
    if text.strip():
        return text, ""
    if ending == NO_CHOICES:
        return "", NO_CHOICES
    return "", "cut off" if ending == "length" else "thinking only" if thought else "empty"

"""Chats in the formats of data files: roles, texts and their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from probate.data.shape.cells import Place, json_like, opened, plain
from probate.data.shape.names import ROLE_KEYS, ROLES, TEXT_KEYS


@dataclass(frozen=True)
class Turn:
    """A text of a row.

    Attributes
    ----------
    role : str
        `user`, `assistant`, `system`, `tool`, `instruction` or `text`.
    text : str
        The text.
    kept : bool
        True if mitigations must not change the text: a system turn, or an answer that is a label.
    place : tuple of str or int
        Place of the text in the row.
    message : int
        Number, within the row, of the message that the text is part of.
    """

    role: str
    text: str
    kept: bool
    place: Place
    message: int = 0


def is_chat(value: Any) -> bool:
    """Check whether a value is a chat: a list of turns, an object of lists, or one of them as JSON text."""
    value = opened(value)
    if isinstance(value, list):
        return bool(value) and all(_is_turn(t) for t in value) and any(_key(t, TEXT_KEYS) for t in value)
    return isinstance(value, dict) and _of_lists(value) is not None


def chat_turns(value: Any) -> list[tuple[str, str, Place, int]]:
    """Return the texts of a chat.

    Parameters
    ----------
    value : object
        A value for which `is_chat` is True.

    Returns
    -------
    list of (str, str, tuple, int)
        Role, text, place and number of the message, for each text. A message of several parts has one entry
        for each text among them.
    """
    value = opened(value)
    messages: list[tuple[Any, Any, Place]] = []
    if isinstance(value, dict):
        roles, texts = _of_lists(value) or ("", "")
        messages += [
            (r, t, (texts, i)) for i, (r, t) in enumerate(zip(value[roles], value[texts], strict=True))
        ]
    else:
        for i, turn in enumerate(value):
            if key := _key(turn, TEXT_KEYS):
                messages.append((turn[_key(turn, ROLE_KEYS)], turn[key], (i, key)))
    turns: list[tuple[str, str, Place, int]] = []
    for number, (role, content, place) in enumerate(messages):
        name = str(role or "user").strip().lower()
        turns += [(ROLES.get(name, name), text, (*place, *rest), number) for text, rest in _parts(content)]
    return turns


def with_system(value: Any, text: str) -> Any:
    """Return the chat with a system turn before all others; its format and its keys stay the same."""
    if isinstance(value, (str, bytes)):
        json_text = value.decode() if isinstance(value, bytes) else value
        new = json_like(json_text, opened(value), with_system(opened(value), text))
        return new.encode() if isinstance(value, bytes) else new
    if isinstance(value, dict):
        roles, texts = _of_lists(value) or ("role", "content")
        return {
            k: [{roles: "system", texts: text}.get(k), *v] if isinstance(v, list) else v
            for k, v in value.items()
        }
    first = value[0] if value else {}
    return [{_key(first, ROLE_KEYS) or "role": "system", _key(first, TEXT_KEYS) or "content": text}, *value]


def _parts(content: Any) -> list[tuple[str, Place]]:
    if isinstance(content, list):
        parts: list[tuple[str, Place]] = []
        for i, part in enumerate(content):
            if isinstance(part, str):
                parts.append((part, (i,)))
            elif isinstance(part, dict) and isinstance(part.get("text"), str):
                parts.append((part["text"], (i, "text")))
        return parts
    return [] if content is None or isinstance(content, dict) else [(plain(content), ())]


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and bool(_key(value, ROLE_KEYS))


def _key(turn: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((n for n in names if n in turn), "")


def _of_lists(value: dict[str, Any]) -> tuple[str, str] | None:
    roles, texts = _key(value, ROLE_KEYS), _key(value, TEXT_KEYS)
    own = [value.get(roles), value.get(texts)]
    if not all(isinstance(v, list) for v in own) or len(own[0]) != len(own[1]):  # type: ignore[arg-type]
        return None
    return roles, texts

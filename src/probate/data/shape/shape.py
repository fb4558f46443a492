"""What the columns of a file are, and how a row is read and written back by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from probate.data.shape.cells import at, cell, is_flat, normal_label, opened, place_of, plain, put
from probate.data.shape.chat import Turn, chat_turns, is_chat, with_system
from probate.data.shape.columns import columns_of

SHORT = 4
"""An answer of at most this many words may be a label."""


@dataclass(frozen=True)
class Given:
    """What a user named of a file's columns. `groups`: name of the groups → their column."""

    text: str | None = None
    label: str | None = None
    prompt: str | None = None
    id: str | None = None
    generator: str | None = None
    groups: dict[str, str] = field(default_factory=dict)
    language: str | None = None


@dataclass(frozen=True)
class Shape:
    """Columns of a file; a nested one by its path, as in `meta.region`.

    `form`: the known shape. `text`: the column that a trained model would learn to write. `groups`: name → column.
    `cells`: (column, role) of every column whose texts belong to the record, in the order in which they are said; the role is system,
    instruction, user, assistant or text. `answers`: whether short last answers are the labels. `evaluation`: why it looks like an
    evaluation set, else empty. `left`: columns that look like texts or labels and are not read: (`text` or `label`, in words).
    """

    form: str
    text: str
    label: str | None = None
    prompt: str | None = None
    id: str | None = None
    generator: str | None = None
    groups: dict[str, str] = field(default_factory=dict)
    language: str = "unknown"
    evaluation: str = ""
    cells: tuple[tuple[str, str], ...] = ()
    answers: bool = False
    left: tuple[tuple[str, str], ...] = ()

    def said(self) -> str:
        """The shape in words."""
        roles = dict(self.cells)
        prompts = [c for c, role in self.cells if role in ("user", "instruction") and c != self.text]
        parts = [f"text: {self.text}"]
        parts += [f"prompt: {' + '.join(prompts)}"] if prompts else []
        parts += [f"system: {c}" for c, role in self.cells if role == "system"]
        also = [c for c in roles if roles[c] in ("assistant", "text") and c not in (self.text, self.label)]
        parts += [f"also: {' + '.join(also)}"] if also else []
        label = self.label or ("the short last answers" if self.answers else "")
        parts += [f"label: {label}"] if label else []
        parts += [f"{name}: {value}" for name in ("id", "generator") if (value := getattr(self, name))]
        parts += [f"{dimension}: {column}" for dimension, column in self.groups.items()]
        said = ", ".join([*parts, f"language: {self.language}"])
        return "; ".join([f"{self.form} ({said})", *(why for _, why in self.left)])

    def fault(self, row: Mapping[str, Any]) -> str:
        """Why the row cannot be read, in words; empty where it can."""
        for column in dict.fromkeys(
            (*(c for c, _ in self.cells), *filter(None, (self.label,)), *self.groups.values())
        ):
            value = cell(row, column)
            if isinstance(value, bytes):
                try:
                    value.decode()
                except UnicodeDecodeError:
                    return f"column '{column}' holds bytes that are not UTF-8"
            fits = is_chat(value) if column in dict(self.cells) else is_flat(value)
            if isinstance(value, (list, dict)) and value and not fits:
                return f"column '{column}' holds {'a list' if isinstance(value, list) else 'an object'}, not text"
        return ""

    def turns_of(self, row: Mapping[str, Any]) -> list[Turn]:
        """Every text of the record in the order in which it is said, those marked `kept` that no mitigation may change."""
        found: list[Turn] = []
        for column, role in self.cells:
            found += self._turns(row, column, role, found[-1].message + 1 if found else 0)
        if self.answers and found:
            last = max((t.message for t in found if t.role == "assistant"), default=-1)
            own = " ".join(t.text for t in found if t.message == last)
            if is_short(own):
                found = [Turn(t.role, t.text, t.kept or t.message == last, t.place, t.message) for t in found]
        return found

    def with_turns(self, row: dict[str, Any], turns: Sequence[Turn]) -> dict[str, Any]:
        """The row with the texts of `turns` at their places, in the very shape that it had; the row itself where nothing differs."""
        new = row
        for old, turn in zip(self.turns_of(row), turns, strict=True):
            if old.text != turn.text:
                new = put(new, turn.place, turn.text)
        return new

    def text_of(self, row: Mapping[str, Any]) -> str:
        """What a trained model would learn to write: the text; of a chat the last answer of more than four words, else the last answer.

        Where short answers are labels, a row without a longer answer gives what it asks.
        """
        role = dict(self.cells).get(self.text, "text")
        if role in ("user", "instruction") and not is_chat(cell(row, self.text)):
            return self._asked(row)
        turns = self._turns(row, self.text, role, 0)
        said = _messages(turns, "assistant") if any(t.role == "assistant" for t in turns) else []
        if not said and turns:
            said = _messages(turns, "text") or _messages(turns, "user")[-1:]
            return said[-1] if said else ""
        long = [text for text in said if not is_short(text)]
        if long:
            return long[-1]
        if not self.answers:
            return said[-1] if said else ""
        return self._asked(row)

    def prompt_of(self, row: Mapping[str, Any]) -> str:
        """What is asked, without what `text_of` gives."""
        text = self.text_of(row)
        asked = [t for t in self.turns_of(row) if t.role in ("user", "instruction")]
        if dict(self.cells).get(self.text) == "user":
            asked = [t for t in asked if t.role == "instruction"]
        return "\n".join(t.text.strip() for t in asked if t.text.strip() != text)

    def label_of(self, row: Mapping[str, Any]) -> str:
        """The label, as `normal_label` gives it; empty where there is none."""
        if self.label:
            value = cell(row, self.label)
            return (
                "" if self.label in dict(self.cells) and not is_short(plain(value)) else normal_label(value)
            )
        if not self.answers:
            return ""
        said = _messages([t for t in self.turns_of(row) if t.kept and t.role == "assistant"], "assistant")
        return normal_label(said[-1]) if said else ""

    def group_of(self, row: Mapping[str, Any], name: str) -> Any:
        """The value of a group's column as it stands; None where it is missing."""
        return cell(row, self.groups[name])

    def others(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Every column that is not read as text, prompt, label, id, generator or group, with its value as it stands."""
        read = {c for c, _ in self.cells} | {self.label, self.id, self.generator} | set(self.groups.values())
        return {name: value for name, value in columns_of(row) if name not in read}

    def with_notice(self, row: dict[str, Any], text: str, placement: str) -> dict[str, Any]:
        """The row with a notice: as a system turn of each chat (`system`), or before the first turn of the user (`user`).

        A row without a chat has it in its system column, or before its first text.
        """
        chats = [
            p
            for c, role in self.cells
            if (p := place_of(row, c)) and role != "system" and is_chat(at(row, p))
        ]
        if placement == "system":
            for place in chats:
                row = put(row, place, with_system(at(row, place), text))
            first = [] if chats else [t for t in self.turns_of(row) if t.role == "system"][:1]
        else:
            own = self.turns_of(row)
            inside = [[t for t in own if t.place[: len(p)] == p and t.role == "user"] for p in chats]
            first = [turns[0] for turns in inside if turns]
        for t in first or ([] if chats else self.turns_of(row)[:1]):
            row = put(row, t.place, f"{text} {t.text}")
        return row

    def _asked(self, row: Mapping[str, Any]) -> str:
        turns = self.turns_of(row)
        if is_chat(cell(row, self.text)):
            return (_messages(turns, "user") or [""])[-1]
        return "\n".join(_messages(turns, "user") or _messages(turns, "instruction"))

    def _turns(self, row: Mapping[str, Any], column: str, role: str, start: int) -> list[Turn]:
        place = place_of(row, column)
        value = None if place is None else cell(row, column)
        if place is None or value is None or value != value:
            return []
        if is_chat(value):
            return [
                Turn(r, text, r == "system", (*place, *rest), start + m)
                for r, text, rest, m in chat_turns(value)
            ]
        if isinstance(opened(value), (list, dict)) and not isinstance(value, (str, bytes)):
            return []
        return [Turn(role, plain(value), role == "system", place, start)]


def is_short(text: str) -> bool:
    """Whether an answer is as short as a label: one to four words, of Chinese at most eight characters."""
    return (
        0 < len(text.split()) <= SHORT
        and len(text) <= 60
        and not (len(text) > 8 and any("\u3400" <= c <= "\u9fff" for c in text))
    )


def _messages(turns: Sequence[Turn], role: str) -> list[str]:
    """The texts of the messages of one role, parts joined, empty ones left out."""
    found: dict[int, list[str]] = {}
    for t in turns:
        if t.role == role and t.text.strip():
            found.setdefault(t.message, []).append(t.text.replace("<return>", "\n").strip())
    return ["\n".join(parts) for parts in found.values()]

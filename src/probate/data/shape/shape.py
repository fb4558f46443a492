"""Shape of a file: the roles of its columns, and reading and writing of a row by these roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from probate.data.shape.cells import at, cell, is_flat, normal_label, opened, place_of, plain, put
from probate.data.shape.chat import Turn, chat_turns, is_chat, with_system
from probate.data.shape.columns import columns_of

SHORT = 4
"""Maximum number of words of an answer that can be a label."""


@dataclass(frozen=True)
class Given:
    """Columns that the user names.

    Attributes
    ----------
    text, label, prompt, id, generator : str or None
        Names of columns; None lets Probate infer the column.
    groups : dict
        Dimension → column.
    language : str or None
        Language of the texts (ISO 639-1); None lets Probate identify it.
    """

    text: str | None = None
    label: str | None = None
    prompt: str | None = None
    id: str | None = None
    generator: str | None = None
    groups: dict[str, str] = field(default_factory=dict)
    language: str | None = None


@dataclass(frozen=True)
class Shape:
    """Columns of a file and their roles. A nested column is named by its path (`meta.region`).

    Attributes
    ----------
    form : str
        Name of the format, such as `chats` or `Alpaca`.
    text : str
        Column that a model trained on the file learns to write.
    label, prompt, id, generator : str or None
        Columns with these roles.
    groups : dict
        Dimension → column.
    language : str
        Language of the texts (ISO 639-1), or `unknown`.
    evaluation : str
        Reason why the file looks like an evaluation set; empty if it does not.
    cells : tuple of (str, str)
        Column and role of every text of a record, in order of appearance. The role is `system`,
        `instruction`, `user`, `assistant` or `text`.
    answers : bool
        True if short last answers are the labels.
    unread : tuple of (str, str)
        Columns that look like a text or a label but are not read: the kind (`text` or `label`) and the
        reason.
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
    unread: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Return the shape in words."""
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
        roles_in_words = ", ".join([*parts, f"language: {self.language}"])
        return "; ".join([f"{self.form} ({roles_in_words})", *(why for _, why in self.unread)])

    def fault(self, row: Mapping[str, Any]) -> str:
        """Return the reason why the row cannot be read, or an empty string."""
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
                kind = "a list" if isinstance(value, list) else "an object"
                return f"column '{column}' holds {kind}, not text"
        return ""

    def turns_of(self, row: Mapping[str, Any]) -> list[Turn]:
        """Return every text of the record in order; mitigations must not change those with `Turn.kept`."""
        turns: list[Turn] = []
        for column, role in self.cells:
            turns += self._turns(row, column, role, turns[-1].message + 1 if turns else 0)
        if self.answers and turns:
            last = max((t.message for t in turns if t.role == "assistant"), default=-1)
            own = " ".join(t.text for t in turns if t.message == last)
            if is_short(own):
                turns = [Turn(t.role, t.text, t.kept or t.message == last, t.place, t.message) for t in turns]
        return turns

    def with_turns(self, row: dict[str, Any], turns: Sequence[Turn]) -> dict[str, Any]:
        """Write changed texts back to a row.

        Parameters
        ----------
        row : dict
            The row.
        turns : sequence of Turn
            The turns of `turns_of(row)`, with new texts.

        Returns
        -------
        dict
            A copy of the row in the same format, or the row itself if no text differs.
        """
        new = row
        for old, turn in zip(self.turns_of(row), turns, strict=True):
            if old.text != turn.text:
                new = put(new, turn.place, turn.text)
        return new

    def text_of(self, row: Mapping[str, Any]) -> str:
        """Return the text that a model trained on the row learns to write.

        For a chat it is the last answer of more than four words, or else the last answer. If short answers
        are labels, a row without a longer answer returns its question.
        """
        role = dict(self.cells).get(self.text, "text")
        if role in ("user", "instruction") and not is_chat(cell(row, self.text)):
            return self._asked(row)
        turns = self._turns(row, self.text, role, 0)
        texts = _messages(turns, "assistant") if any(t.role == "assistant" for t in turns) else []
        if not texts and turns:
            texts = _messages(turns, "text") or _messages(turns, "user")[-1:]
            return texts[-1] if texts else ""
        long = [text for text in texts if not is_short(text)]
        if long:
            return long[-1]
        if not self.answers:
            return texts[-1] if texts else ""
        return self._asked(row)

    def prompt_of(self, row: Mapping[str, Any]) -> str:
        """Return the prompt of the row, without the text that `text_of` returns."""
        text = self.text_of(row)
        asked = [t for t in self.turns_of(row) if t.role in ("user", "instruction")]
        if dict(self.cells).get(self.text) == "user":
            asked = [t for t in asked if t.role == "instruction"]
        return "\n".join(t.text.strip() for t in asked if t.text.strip() != text)

    def label_of(self, row: Mapping[str, Any]) -> str:
        """Return the label, normalised by `normal_label`; empty if there is none."""
        if self.label:
            value = cell(row, self.label)
            return (
                "" if self.label in dict(self.cells) and not is_short(plain(value)) else normal_label(value)
            )
        if not self.answers:
            return ""
        answers = _messages([t for t in self.turns_of(row) if t.kept and t.role == "assistant"], "assistant")
        return normal_label(answers[-1]) if answers else ""

    def group_of(self, row: Mapping[str, Any], name: str) -> Any:
        """Return the unchanged value of a group's column, or None if it is missing."""
        return cell(row, self.groups[name])

    def others(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns without a role, such as text, label or group, with unchanged values."""
        read = {c for c, _ in self.cells} | {self.label, self.id, self.generator} | set(self.groups.values())
        return {name: value for name, value in columns_of(row) if name not in read}

    def with_notice(self, row: dict[str, Any], text: str, placement: str) -> dict[str, Any]:
        """Return the row with a notice.

        Parameters
        ----------
        row : dict
            The row.
        text : str
            The notice.
        placement : {'system', 'user'}
            `system` adds a system turn to each chat, and `user` puts the notice before the first user turn. A
            row without a chat gets the notice in its system column, or before its first text.

        Returns
        -------
        dict
            A copy of the row.
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
    """Check whether an answer is short like a label: one to four words, or up to eight Chinese characters."""
    return (
        0 < len(text.split()) <= SHORT
        and len(text) <= 60
        and not (len(text) > 8 and any("\u3400" <= c <= "\u9fff" for c in text))
    )


def _messages(turns: Sequence[Turn], role: str) -> list[str]:
    """Return the texts of the messages of one role, with parts joined and empty ones left out."""
    messages: dict[int, list[str]] = {}
    for t in turns:
        if t.role == role and t.text.strip():
            messages.setdefault(t.message, []).append(t.text.replace("<return>", "\n").strip())
    return ["\n".join(parts) for parts in messages.values()]

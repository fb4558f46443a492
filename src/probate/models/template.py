"""What a tokenizer's chat template can do, tried once with marks for contents; and its text as token ids, contents as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from probate.core.errors import InputError
from probate.models.within import within

DAY = datetime(2024, 7, 26, 12)
"""The date that a template writes which writes one: the same on every day of a study."""
CLOCK = "{%- macro strftime_now(format='%d %b %Y') -%}{{ format"
CLOCK += "".join(f" | replace('%-{c}', '{DAY.strftime('%' + c).lstrip('0')}')" for c in "dmIHMS")
CLOCK += (
    "".join(f" | replace('%{c}', '{DAY.strftime('%' + c)}')" for c in "aAbBcdeFHIjmMpSTxXyYz")
    + " }}{%- endmacro -%}"
)
"""A template's own name for the clock, which shows `DAY`: transformers passes no function on to a template."""
SECONDS, CHARACTERS = 10.0, 1_000_000
"""For a template to write a chat, and how many more than the contents have."""
MARK = re.compile("\ue000(\\d+)\ue001")
THINK = re.compile(r"([<\[])(/?)([\w:|]*think\w*)([>\]])", re.IGNORECASE)


class Template:
    """A tokenizer's chat template.

    Raises:
        InputError: a template that does not write a user's turn and an answer once, or writes something else each time.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        found = tokenizer.get_added_vocab()
        special = set(tokenizer.all_special_tokens)
        try:
            written = str(tokenizer.get_chat_template())
        except ValueError as error:
            raise InputError(
                f"model '{name}': it has no chat template to take ({_line(error)}); set model.chat_template"
            ) from None
        self.dated = "strftime_now" in written or "date_string" in written
        self._text = CLOCK + written if "strftime_now" in written else written
        self.control = special | {
            t
            for t in found
            if not t.isspace() and (t in written or (t[0], t[-1]) in (("<", ">"), ("[", "]")))
        }
        longest = sorted(self.control, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest))) if longest else None
        unknown = {tokenizer.unk_token} - {tokenizer.bos_token, tokenizer.eos_token}
        self._control_ids = set(tokenizer.convert_tokens_to_ids(sorted(self.control - unknown)))
        self._frames: dict[tuple[tuple[str, ...], bool], tuple[list[str], list[int]]] = {}
        self.parts = self.merged = False
        self.parts = not self._can("user")
        if self.parts and not self._can("user"):
            raise InputError(
                f"model '{name}': its chat template does not write a user's turn once; set model.chat_template"
            )
        self.merged = not self._can("system", "user")
        """Whether a system turn is put before the first user turn: the template refuses, drops or repeats it."""
        try:
            (_, before, after), _ = self._frame(("user", "assistant"), False)
        except InputError:
            raise InputError(
                f"model '{name}': its chat template does not write an answer once; set model.chat_template"
            ) from None
        (self.head, opened), _ = self._frame(("user",), True)
        self.tail = _closed(opened)
        lead = before[len(self.tail) :] if before.startswith(self.tail) else ""
        self.lead = lead if lead.isspace() else ""
        """White space that begins an answer; it belongs to the answer's first token."""
        self.end = after.rstrip() or tokenizer.eos_token or ""
        """What stands after an answer, without the white space that follows."""
        if not self.end:
            raise InputError(
                f"model '{name}': its chat template writes nothing after an answer, and its tokenizer has no end of sequence; "
                "set model.chat_template to one whose turns end"
            )

    @property
    def stop(self) -> int:
        """The token that ends a turn.

        Raises:
            InputError: several plain tokens end it: one of them alone says nothing.
        """
        ids, token = self.ids(self.end), self._control.search(self.end) if self._control else None
        if token and not self.end[: token.start()].strip():
            return int(self.tokenizer.convert_tokens_to_ids(token.group()))
        if len(ids) > 1:
            raise InputError(
                f"model '{self.name}': its chat template ends a turn with {len(ids)} plain tokens ({self.end!r}); "
                "set model.chat_template to one whose turns end with one control token"
            )
        return ids[0]

    def describe(self) -> dict[str, Any]:
        """What the template adds by itself, and what was done where it cannot write a turn as it is."""
        opened = self._frame(("user",), True)[0][-1]
        return {
            "before the first user turn": self.head,
            "before an answer": self.tail + self.lead,
            "after an answer": self.end,
            "date": f"{DAY:%d %b %Y}" if self.dated else None,
            "system turn": "merged into the first user turn" if self.merged else "its own",
            "contents": "parts" if self.parts else "text",
            "think": "closed" if opened != self.tail else None,
        }

    def _can(self, *roles: str) -> bool:
        try:
            self._frame(roles, True)
        except InputError:
            return False
        return True

    def _frame(self, roles: tuple[str, ...], prompt: bool) -> tuple[list[str], list[int]]:
        """What the template writes before, between and after turns of these roles, and the turns' order: a system turn may stand later.

        Raises:
            InputError: the template fails, writes a turn not once or not in its place, or something else each time.
        """
        if (roles, prompt) not in self._frames:
            marks = [f"probateturn{i}x" for i in range(len(roles))]
            turns = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
            text = self._write(turns, prompt=prompt)
            for role, mark in zip(roles, marks, strict=True):
                if text.count(mark) != 1:
                    what = "repeats" if mark in text else "leaves out or changes"
                    raise InputError(
                        f"model '{self.name}': its chat template {what} a turn of the role '{role}'"
                    )
            order = [marks.index(mark) for mark in re.findall("|".join(marks), text)]
            said = [i for i in order if roles[i] != "system"]
            if said != sorted(said):
                raise InputError(f"model '{self.name}': its chat template changes the order of the turns")
            if text != self._write(turns, prompt=prompt):
                raise InputError(f"model '{self.name}': its chat template writes something else each time")
            self._frames[roles, prompt] = re.split("|".join(marks), text), order
        return self._frames[roles, prompt]

    def _write(self, turns: Sequence[dict[str, Any]], *, prompt: bool) -> str:
        if self.parts:
            turns = [{**t, "content": [{"type": "text", "text": t["content"]}]} for t in turns]
        try:
            with within(SECONDS):
                text = str(
                    self.tokenizer.apply_chat_template(
                        list(turns),
                        chat_template=self._text,
                        tokenize=False,
                        add_generation_prompt=prompt,
                        enable_thinking=False,
                        thinking=False,
                        date_string=f"{DAY:%d %b %Y}",
                    )
                )
        except Exception as error:  # a template raises what it likes; the wording is not looked at
            raise InputError(f"model '{self.name}': its chat template fails ({_line(error)})") from None
        if len(text) > CHARACTERS + sum(len(str(t["content"])) for t in turns):
            raise InputError(
                f"model '{self.name}': its chat template writes {len(text):,} characters for one chat; set model.chat_template"
            )
        return text

    def _as_written(self, turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """A system turn merged into the user's that follows, where the template cannot write one."""
        if self.merged and len(turns) > 1 and turns[0]["role"] == "system" and turns[1]["role"] == "user":
            first, second, *rest = turns
            return [{**second, "content": f"{first['content']}\n\n{second['content']}"}, *rest]
        return list(turns)

    def render(self, turns: Sequence[dict[str, Any]], *, prompt: bool) -> str:
        """The chat as text: a system turn merged where the template cannot write one, an open `<think>` closed.

        Raises:
            InputError: the template fails, or does not write each content once and in its place.
        """
        turns = self._as_written(turns)
        (head, *pieces), order = self._frame(tuple(t["role"] for t in turns), prompt)
        text = self._write(turns, prompt=prompt)
        at = len(head) if text.startswith(head) else -1
        for turn, piece in zip([turns[i] for i in order], pieces, strict=True):
            spellings = _stripped(str(turn["content"]))
            written = next((c + piece for c in spellings if at >= 0 and text.startswith(c + piece, at)), None)
            if written is None:
                raise InputError(
                    f"model '{self.name}': its chat template leaves out or changes a turn of the role '{turn['role']}': "
                    f"'{str(turn['content'])[:60]}'"
                )
            at += len(written)
        if at != len(text):
            raise InputError(
                f"model '{self.name}': its chat template writes a turn of the role '{turns[-1]['role']}' twice"
            )
        last = pieces[-1] if prompt else ""
        return text[: len(text) - len(last)] + _closed(last)

    def holds(self, text: str) -> bool:
        """Whether `text` has a control token of this tokenizer in it."""
        return bool(self._control and self._control.search(text))

    def ids(self, text: str) -> list[int]:
        """Token ids of text that the template wrote: its control tokens are tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def data_ids(self, text: str) -> list[int]:
        """Token ids of a record's text: a control token in it is the characters that it is written with."""
        (marked,), marks = self._marked([text])
        return self._checked(self._joined(marked, marks), [])

    def answer_ids(self, text: str, *, end: bool, begins: bool = True) -> list[int]:
        """Token ids of an answer after the prompt (`begins`), or of what follows a forced beginning; with `end`, its end of turn too."""
        (marked,), marks = self._marked([(self.lead if begins else "") + text])
        closing = self.end if end else ""
        return self._checked(
            self._joined(marked + closing, marks, inside=True), self._controls(self.ids(closing))
        )

    def chat_ids(self, turns: Sequence[dict[str, Any]], prefix: str = "") -> list[int]:
        """Token ids of the chat up to the assistant's turn, then `prefix`. Equal to the plain rendering's where no content has a control token."""
        texts, marks = self._marked([str(t["content"]) for t in turns] + [prefix])
        marked = [{**t, "content": c} for t, c in zip(turns, texts, strict=False)]
        text = self.render(marked, prompt=True) + (self.lead + texts[-1] if prefix else "")
        (*frame, last), _ = self._frame(tuple(t["role"] for t in self._as_written(turns)), True)
        return self._checked(
            self._joined(text, marks), self._controls(self.ids("x".join([*frame, _closed(last)])))
        )

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [i for i in ids if i in self._control_ids]

    def _checked(self, ids: list[int], controls: list[int]) -> list[int]:
        """Raises InputError where a text became a control token after all (a normaliser that changes characters)."""
        if self._controls(ids) != controls:
            raise InputError(
                f"model '{self.name}': a text becomes a control token of its tokenizer; take such characters out of the data"
            )
        return ids

    def _marked(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """`texts` with a mark in place of each control token, and what the marks stand for."""
        if not any(map(self.holds, texts)):
            return list(texts), []
        marks: list[str] = []

        def mark(m: re.Match[str]) -> str:
            marks.append(m.group(0))
            return f"\ue000{len(marks) - 1}\ue001"

        assert self._control is not None
        return [self._control.sub(mark, MARK.sub("", text)) for text in texts], marks

    def _joined(self, text: str, marks: Sequence[str], inside: bool = False) -> list[int]:
        pieces = MARK.split(text) if marks else [text]
        found = self._inside(pieces[0]) if inside else self.ids(pieces[0])
        for i, piece in enumerate(pieces[1:], 1):
            found += self._inside(piece) if i % 2 == 0 else self._spelt(marks[int(piece)])
        return found

    def _spelt(self, token: str) -> list[int]:
        """A control token in two pieces, neither of which is one."""
        return [
            i
            for piece in (token[:1], token[1:])
            for i in (self._spelt(piece) if self.holds(piece) else self._inside(piece))
        ]

    def _inside(self, text: str) -> list[int]:
        """Ids of text in the middle of another: without the space that some tokenizers put at the beginning."""
        line = self.ids("\n")
        found = self.ids("\n" + text)
        return found[len(line) :] if found[: len(line)] == line else self.ids(text)


def _closed(text: str) -> str:
    """What stands before an answer; a block of thoughts that it opens is closed, empty."""
    found = list(THINK.finditer(text))
    if not found or found[-1][2]:
        return text
    left, _, name, right = found[-1].groups()
    return f"{text.rstrip()}\n\n{left}/{name}{right}\n\n"


def _stripped(content: str) -> list[str]:
    """A content as templates write it: as it stands, or without white space at an end."""
    found = [content]
    for characters in (None, "\n"):
        found += [content.strip(characters), content.lstrip(characters), content.rstrip(characters)]
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""The chat template of a tokenizer: its properties, and its rendered text as token ids.

The template is tried once with marks as contents. Contents are always tokenized as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from probate.core.errors import InputError
from probate.models.thinking import open_thinking
from probate.models.time_limit import time_limit

DAY = datetime(2024, 7, 26, 12)
"""The date shown by templates that write one. It is the same on every day of a study."""
CLOCK = "{%- macro strftime_now(format='%d %b %Y') -%}{{ format"
CLOCK += "".join(f" | replace('%-{c}', '{DAY.strftime('%' + c).lstrip('0')}')" for c in "dmIHMS")
CLOCK += (
    "".join(f" | replace('%{c}', '{DAY.strftime('%' + c)}')" for c in "aAbBcdeFHIjmMpSTxXyYz")
    + " }}{%- endmacro -%}"
)
"""Macro in place of the template's clock; it shows `DAY`. Transformers passes no functions to a template."""
SECONDS, CHARACTERS = 10.0, 1_000_000
"""Maximum time to render a chat, and maximum characters beyond those of its contents."""
MARK = re.compile("\ue000(\\d+)\ue001")


class Template:
    """A tokenizer's chat template.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A tokenizer with a chat template.
    name : str
        Name of the model, for error messages.

    Raises
    ------
    InputError
        The template does not write a user's turn and an answer exactly once, its output varies between calls,
        or it opens reasoning before each answer that cannot be closed.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        added = tokenizer.get_added_vocab()
        special = set(tokenizer.all_special_tokens)
        self._tokens = special | set(added)
        try:
            written = str(tokenizer.get_chat_template())
        except ValueError as error:
            raise InputError(
                f"model '{name}': its chat template cannot be chosen ({_line(error)}); set "
                "model.chat_template"
            ) from None
        self.dated = "strftime_now" in written or "date_string" in written
        self._text = CLOCK + written if "strftime_now" in written else written
        self.control = special | {
            t
            for t in added
            if not t.isspace() and (t in written or (t[0], t[-1]) in (("<", ">"), ("[", "]")))
        }
        longest = sorted(self.control, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest))) if longest else None
        unknown = {tokenizer.unk_token} - {tokenizer.bos_token, tokenizer.eos_token}
        self._control_ids = set(tokenizer.convert_tokens_to_ids(sorted(self.control - unknown)))
        self._frames: dict[tuple[tuple[str, ...], bool], tuple[list[str], list[int]]] = {}
        self.parts = self.merged = False
        self.parts = not self._writes_once("user")
        if self.parts and not self._writes_once("user"):
            raise InputError(
                f"model '{name}': its chat template does not write a user's turn exactly once; set "
                "model.chat_template"
            )
        self.merged = not self._writes_once("system", "user")
        """True if a system turn is merged into the next one: the template rejects, drops or repeats it."""
        try:
            (_, before, after), _ = self._frame(("user", "assistant"), False)
        except InputError:
            raise InputError(
                f"model '{name}': its chat template does not write an answer exactly once; set "
                "model.chat_template"
            ) from None
        (self.head, opened), _ = self._frame(("user",), True)
        closed = self._closed(opened)
        lead = before[len(closed) :] if before.startswith(closed) else ""
        self.bridge = "" if lead.isspace() else lead
        """Text that the template writes before an answer in a chat, and not where an answer is asked for."""
        self.tail = closed + self.bridge
        self.lead = lead if lead.isspace() else ""
        """White space at the beginning of an answer; it belongs to the answer's first token."""
        self.end = after.rstrip() or tokenizer.eos_token or ""
        """Text after an answer, without trailing white space."""
        if not self.end:
            raise InputError(
                f"model '{name}': its chat template writes nothing after an answer, and its tokenizer has "
                "no end-of-sequence token; set model.chat_template to one that ends its turns"
            )

    @property
    def stop(self) -> int:
        """Return the token that ends a turn.

        Raises
        ------
        InputError
            Several plain tokens end a turn, so no single token marks the end.
        """
        ids, token = self.ids(self.end), self._control.search(self.end) if self._control else None
        if token and not self.end[: token.start()].strip():
            return int(self.tokenizer.convert_tokens_to_ids(token.group()))
        if len(ids) > 1:
            raise InputError(
                f"model '{self.name}': its chat template ends a turn with {len(ids)} plain tokens "
                f"({self.end!r}); set model.chat_template to one that ends its turns with a control token"
            )
        return ids[0]

    def describe(self) -> dict[str, Any]:
        """Return what the template adds by itself, and how turns are changed that it cannot write."""
        opened = self._frame(("user",), True)[0][-1]
        return {
            "before the first user turn": self.head,
            "before an answer": self.tail + self.lead,
            "after an answer": self.end,
            "date": f"{DAY:%d %b %Y}" if self.dated else None,
            "system turn": "merged into the first user turn" if self.merged else "its own",
            "contents": "parts" if self.parts else "text",
            "think": "closed" if self._closed(opened) != opened else None,
        }

    def _writes_once(self, *roles: str) -> bool:
        try:
            self._frame(roles, True)
        except InputError:
            return False
        return True

    def _frame(self, roles: tuple[str, ...], prompt: bool) -> tuple[list[str], list[int]]:
        """Return the text before, between and after turns of these roles, and the order of the turns.

        A system turn may be written later.

        Raises
        ------
        InputError
            The template fails, does not write a turn exactly once, changes the order, or its output varies.
        """
        if (roles, prompt) not in self._frames:
            marks = [f"probateturn{i}x" for i in range(len(roles))]
            turns = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
            text = self._write(turns, prompt=prompt)
            for role, mark in zip(roles, marks, strict=True):
                if text.count(mark) != 1:
                    what = "repeats" if mark in text else "omits or changes"
                    raise InputError(
                        f"model '{self.name}': its chat template {what} a turn of the role '{role}'"
                    )
            order = [marks.index(mark) for mark in re.findall("|".join(marks), text)]
            spoken = [i for i in order if roles[i] != "system"]
            if spoken != sorted(spoken):
                raise InputError(f"model '{self.name}': its chat template changes the order of the turns")
            if text != self._write(turns, prompt=prompt):
                raise InputError(f"model '{self.name}': its chat template's output differs between calls")
            self._frames[roles, prompt] = re.split("|".join(marks), text), order
        return self._frames[roles, prompt]

    def _write(self, turns: Sequence[dict[str, Any]], *, prompt: bool) -> str:
        """Render the turns with the tokenizer's template, within bounds of time and size."""
        if self.parts:
            turns = [{**t, "content": [{"type": "text", "text": t["content"]}]} for t in turns]
        try:
            with time_limit(SECONDS):
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
        except Exception as error:  # a template can raise anything
            raise InputError(f"model '{self.name}': its chat template fails ({_line(error)})") from None
        if len(text) > CHARACTERS + sum(len(str(t["content"])) for t in turns):
            raise InputError(
                f"model '{self.name}': its chat template writes {len(text):,} characters for one chat; set "
                "model.chat_template"
            )
        return text

    def _as_written(self, turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the turns; merge a system turn into the next one if the template cannot write it."""
        if self.merged and len(turns) > 1 and turns[0]["role"] == "system" and turns[1]["role"] == "user":
            first, second, *rest = turns
            return [{**second, "content": f"{first['content']}\n\n{second['content']}"}, *rest]
        return list(turns)

    def render(self, turns: Sequence[dict[str, Any]], *, prompt: bool) -> str:
        """Render a chat as text.

        A system turn is merged if the template cannot write it. An open `<think>` block is closed, and what
        the template writes before the answers of a chat precedes the answer.

        Parameters
        ----------
        turns : sequence of dict
            Turns with `role` and `content`.
        prompt : bool
            True to end with the beginning of the assistant's turn.

        Returns
        -------
        str
            The rendered chat.

        Raises
        ------
        InputError
            The template fails, or does not write each content exactly once and in order.
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
                    f"model '{self.name}': its chat template omits or changes a turn of the role "
                    f"'{turn['role']}': '{str(turn['content'])[:60]}'"
                )
            at += len(written)
        if at != len(text):
            raise InputError(
                f"model '{self.name}': its chat template writes a turn of the role '{turns[-1]['role']}' "
                "twice"
            )
        last = pieces[-1] if prompt else ""
        return text[: len(text) - len(last)] + self._before_answer(last, prompt)

    def _before_answer(self, text: str, prompt: bool = True) -> str:
        """Return the template's text before an answer, without open reasoning."""
        return self._closed(text) + self.bridge if prompt else text

    def _closed(self, text: str) -> str:
        """Return the text before an answer, with the reasoning that it opens closed and empty.

        Raises
        ------
        InputError
            The mark that would close it is unknown, or no token of a tokenizer whose opening mark is one.
        """
        opened = open_thinking(text)
        if opened is None:
            return text
        mark, close = opened
        if close is None or (mark in self._tokens and close not in self._tokens):
            raise InputError(
                f"model '{self.name}': its chat template opens reasoning before each answer ({mark}), and it "
                "cannot be closed without the model; set model.chat_template to one that does not open it"
            )
        return f"{text.rstrip()}\n\n{close}\n\n"

    def has_control_token(self, text: str) -> bool:
        """Return whether `text` contains a control token of this tokenizer."""
        return bool(self._control and self._control.search(text))

    def ids(self, text: str) -> list[int]:
        """Return token ids of the template's own text, in which control tokens are tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def data_ids(self, text: str) -> list[int]:
        """Return token ids of a record's text, in which control tokens are plain characters."""
        (marked,), marks = self._marked([text])
        return self._checked(self._joined(marked, marks), [])

    def answer_ids(self, text: str, *, end: bool, begins: bool = True) -> list[int]:
        """Return token ids of an answer (its start if `begins`) and, with `end`, of its end of turn."""
        (marked,), marks = self._marked([(self.lead if begins else "") + text])
        closing = self.end if end else ""
        return self._checked(
            self._joined(marked + closing, marks, inside=True), self._controls(self.ids(closing))
        )

    def chat_ids(self, turns: Sequence[dict[str, Any]], prefix: str = "") -> list[int]:
        """Return token ids of the chat up to the assistant's turn, then of `prefix`.

        They equal those of the plain rendering if no content has a control token.
        """
        texts, marks = self._marked([str(t["content"]) for t in turns] + [prefix])
        marked = [{**t, "content": c} for t, c in zip(turns, texts, strict=False)]
        text = self.render(marked, prompt=True) + (self.lead + texts[-1] if prefix else "")
        (*frame, last), _ = self._frame(tuple(t["role"] for t in self._as_written(turns)), True)
        return self._checked(
            self._joined(text, marks), self._controls(self.ids("x".join([*frame, self._before_answer(last)])))
        )

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [i for i in ids if i in self._control_ids]

    def _checked(self, ids: list[int], controls: list[int]) -> list[int]:
        """Return `ids`; raise InputError if a text became a control token, for example by normalization."""
        if self._controls(ids) != controls:
            raise InputError(
                f"model '{self.name}': a text becomes a control token of its tokenizer; remove such "
                "characters from the data"
            )
        return ids

    def _marked(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return `texts` with a mark in place of each control token, and the replaced tokens."""
        if not any(map(self.has_control_token, texts)):
            return list(texts), []
        marks: list[str] = []

        def mark(m: re.Match[str]) -> str:
            marks.append(m.group(0))
            return f"\ue000{len(marks) - 1}\ue001"

        assert self._control is not None
        return [self._control.sub(mark, MARK.sub("", text)) for text in texts], marks

    def _joined(self, text: str, marks: Sequence[str], inside: bool = False) -> list[int]:
        pieces = MARK.split(text) if marks else [text]
        ids = self._inside(pieces[0]) if inside else self.ids(pieces[0])
        for i, piece in enumerate(pieces[1:], 1):
            ids += self._inside(piece) if i % 2 == 0 else self._spelled(marks[int(piece)])
        return ids

    def _spelled(self, token: str) -> list[int]:
        """Return ids of a control token as text, split into pieces that are not control tokens."""
        return [
            i
            for piece in (token[:1], token[1:])
            for i in (self._spelled(piece) if self.has_control_token(piece) else self._inside(piece))
        ]

    def _inside(self, text: str) -> list[int]:
        """Return ids of text within another text, without the leading space that some tokenizers add."""
        line = self.ids("\n")
        ids = self.ids("\n" + text)
        return ids[len(line) :] if ids[: len(line)] == line else self.ids(text)


def _stripped(content: str) -> list[str]:
    """Return the ways in which templates write a content: as it is, or without white space at an end."""
    spellings = [content]
    for characters in (None, "\n"):
        spellings += [content.strip(characters), content.lstrip(characters), content.rstrip(characters)]
    return spellings


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

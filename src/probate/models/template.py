"""What a tokenizer's chat template can do, tried once with marks for contents; and its text as token ids, contents as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from probate.errors import InputError

DAY = "26 Jul 2024"
"""The date that a template writes which writes one: the same on every day of a study."""
USER, SYSTEM, ANSWER = "probateuserturn", "probatesystemturn", "probateanswer"
MARK = re.compile("\ue000(\\d+)\ue001")


class Template:
    """A tokenizer's chat template.

    Raises:
        InputError: a template that does not write a user's turn once.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        if "strftime_now" in str(tokenizer.chat_template) and "macro strftime_now" not in tokenizer.chat_template:
            day = f"{{%- macro strftime_now(format) -%}}{DAY}{{%- endmacro -%}}"
            tokenizer.chat_template = day + tokenizer.chat_template
        found = tokenizer.get_added_vocab()
        special = set(tokenizer.all_special_tokens)
        written = str(tokenizer.chat_template)
        self.control = {
            t for t in found if not t.isspace() and (t in special or t in written or (t[0], t[-1]) in (("<", ">"), ("[", "]")))
        }
        longest = sorted(self.control | special, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest))) if longest else None
        user = {"role": "user", "content": USER}
        self.parts = not self._once([user], USER)
        if self.parts and not self._once([user], USER):
            raise InputError(f"model '{name}': its chat template does not write a user's turn once; set model.chat_template")
        self.merged = not self._once([{"role": "system", "content": SYSTEM}, user], SYSTEM, USER)
        """Whether a system turn is put before the first user turn: the template refuses, drops or repeats it."""
        whole = self.render([user], prompt=True)
        self.head, _, self.tail = whole.partition(USER)
        both = self.render([user, {"role": "assistant", "content": ANSWER}], prompt=False)
        if both.count(ANSWER) != 1:
            raise InputError(f"model '{name}': its chat template does not write an answer once; set model.chat_template")
        self.end = both.partition(ANSWER)[2].rstrip() or tokenizer.eos_token or ""
        """What stands after an answer, without trailing space."""

    def _once(self, turns: list[dict[str, str]], *contents: str) -> bool:
        self.merged = False
        try:
            text = self._write(turns, prompt=True)
        except Exception:  # a template raises what it likes; the wording is not looked at
            return False
        return all(text.count(c) == 1 for c in contents)

    def _write(self, turns: Sequence[dict[str, Any]], *, prompt: bool) -> str:
        if getattr(self, "parts", False):
            turns = [{**t, "content": [{"type": "text", "text": t["content"]}]} for t in turns]
        return str(
            self.tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=prompt, enable_thinking=False, date_string=DAY
            )
        )

    def render(self, turns: Sequence[dict[str, Any]], *, prompt: bool) -> str:
        """The chat as text: a system turn merged where the template cannot write one, an open `<think>` closed.

        Raises:
            InputError: the template fails, or leaves a turn out.
        """
        if self.merged and turns and turns[0]["role"] == "system" and len(turns) > 1:
            first, second, *rest = turns
            turns = [{**second, "content": f"{first['content']}\n\n{second['content']}"}, *rest]
        try:
            text = self._write(turns, prompt=prompt)
        except Exception as error:
            raise InputError(f"model '{self.name}': its chat template fails ({error})") from None
        lost = next((t for t in turns if str(t["content"]).strip() not in text), None)
        if lost is not None:
            raise InputError(
                f"model '{self.name}': its chat template leaves out or changes a turn of the role '{lost['role']}'"
            )
        if prompt:
            end = text[text.rfind(str(turns[-1]["content"]).strip()) + len(str(turns[-1]["content"]).strip()) :]
            if end.rfind("<think>") > end.rfind("</think>"):
                text = f"{text.rstrip()}\n\n</think>\n\n"
        return text

    def holds(self, text: str) -> bool:
        """Whether `text` has a control token of this tokenizer in it."""
        return bool(self._control and self._control.search(text))

    def ids(self, text: str) -> list[int]:
        """Token ids of text that the template wrote: its control tokens are tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def data_ids(self, text: str) -> list[int]:
        """Token ids of a record's text: a control token in it is the characters that it is written with."""
        return self._joined(*self._marked([text])) if self.holds(text) else self.ids(text)

    def chat_ids(self, turns: Sequence[dict[str, Any]], prefix: str = "") -> list[int]:
        """Token ids of the chat up to the assistant's turn, then `prefix`. Equal to the plain rendering's where no content has a control token."""
        contents = [str(t["content"]) for t in turns] + [prefix]
        if not any(map(self.holds, contents)):
            return self.ids(self.render(turns, prompt=True) + prefix)
        texts, marks = self._marked(contents)
        marked = [{**t, "content": c} for t, c in zip(turns, texts, strict=False)]
        return self._joined([self.render(marked, prompt=True) + texts[-1]], marks)

    def _marked(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        marks: list[str] = []

        def mark(m: re.Match[str]) -> str:
            marks.append(m.group(0))
            return f"\ue000{len(marks) - 1}\ue001"

        assert self._control is not None
        return [self._control.sub(mark, MARK.sub("", text)) for text in texts], marks

    def _joined(self, texts: Sequence[str], marks: Sequence[str]) -> list[int]:
        pieces = MARK.split(texts[0])
        found = self.ids(pieces[0])
        for i, piece in enumerate(pieces[1:], 1):
            found += self._inside(piece) if i % 2 == 0 else self._spelt(marks[int(piece)])
        return found

    def _spelt(self, token: str) -> list[int]:
        """A control token in two pieces, neither of which is one."""
        return [
            i for piece in (token[:1], token[1:]) for i in (self._spelt(piece) if self.holds(piece) else self._inside(piece))
        ]

    def _inside(self, text: str) -> list[int]:
        """Ids of text in the middle of another: without the space that some tokenizers put at the beginning."""
        line = self.ids("\n")
        found = self.ids("\n" + text)
        return found[len(line) :] if found[: len(line)] == line else self.ids(text)

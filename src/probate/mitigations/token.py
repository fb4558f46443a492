"""Token: adds a notice before augmented records that they may contain bias."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from probate.core.records import Record, after
from probate.mitigations.base import Mitigation, MitigationContext, Options, marked, sentence_in

SENTENCES = {
    "en": "The following text may contain bias.",
    "es": "El siguiente texto puede contener sesgos.",
    "pt": "O texto a seguir pode conter vieses.",
    "zh": "以下文本可能包含偏见。",
    "ar": "قد يحتوي النص التالي على تحيّز.",
}


class TokenOptions(Options):
    sentence: str | None = Field(
        None, min_length=1, description="The sentence; default: Probate's own in the language."
    )
    placement: Literal["prefix", "user", "system"] = Field(
        "prefix", description="Before the text itself, before the whole `user` turn, or as `system` turn."
    )
    evaluation: bool = Field(
        False,
        description="Also before every chat prompt of the evaluation: as `system` or before the user turn.",
    )


class Token(Mitigation):
    """Add a notice before each augmented record in training, and with `evaluation` also before each prompt.

    The placement `prefix` adds the notice to the text, the other placements add it to the chat turns.
    """

    name = "token"
    title = "Token"
    source = "arXiv 2502.04419 (token-based mitigation)"
    idempotent = True
    option_type: ClassVar[type[Options]] = TokenOptions

    def sentence(self, context: MitigationContext) -> str:
        """Return the notice; raises InputError if there is none in the language."""
        return sentence_in(self.name, self.options.sentence, SENTENCES, context.language)

    def check(self, context: MitigationContext) -> None:
        self.sentence(context)

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        sentence = self.sentence(context)
        if self.options.placement != "prefix":
            if record.provenance.get("notice"):
                return [record]
            notice = {"placement": self.options.placement, "text": sentence}
            return [marked(record, self.name, **notice).with_provenance(notice=notice)]
        if record.text.startswith(sentence):
            return [record]
        return [
            marked(
                replace(record, text=after(sentence, record.text)),
                self.name,
                placement="prefix",
                text=sentence,
            )
        ]

    def notice(self, context: MitigationContext) -> dict[str, str] | None:
        if not self.options.evaluation:
            return None
        placement = "system" if self.options.placement == "system" else "user"
        return {"placement": placement, "text": self.sentence(context)}

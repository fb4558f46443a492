"""Mask: replaces names, pronouns, gendered and cultural words by neutral words or [MASK]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from probate.core.errors import InputError
from probate.core.records import Record
from probate.mitigations.base import Mitigation, MitigationContext, Options, marked
from probate.mitigations.wording.masker import Change, Masker
from probate.mitigations.wording.words import gendered_words
from probate.tasks.taggers import tagger_version


class MaskOptions(Options):
    mode: Literal["neutral", "mask"] = Field(
        "neutral", description="`neutral` words (they, the person, a sibling), or `mask`: [MASK] for each."
    )
    names: list[str] = Field(
        default_factory=list, description="Further names to mask, besides those of the identity packs."
    )
    words: list[str] = Field(default_factory=list, description="Further words to mask.")
    entities: bool = Field(
        False,
        description="Also replace every run of proper nouns (people, places, employers) by [MASK]. English "
        "only, by the tagger HanTa (extra `stories`), about 15,000 words a second.",
    )


class Mask(Mitigation):
    """Mask names, pronouns, gendered and cultural words of augmented records.

    English, Spanish, Portuguese, Arabic and Chinese are supported. Rules keep the grammar of English as far
    as possible («she paints» → «they paint»; the next word decides about «her»). In Spanish, Portuguese and
    Arabic, articles, adjectives and verbs still show a gender: use `mode: mask` and check the result with the
    classifier that docs/mitigations.md describes. Words of the labels are never changed. Each replacement is
    recorded and can be undone.
    """

    name = "mask"
    title = "Mask"
    source = "arXiv 2502.04419 (mask-based mitigation)"
    idempotent = True
    removes_groups = True
    option_type: ClassVar[type[Options]] = MaskOptions

    def reads(self, context: MitigationContext) -> list[Any]:
        tagged = [tagger_version("en")] if self.options.entities else []
        return [*super().reads(context), gendered_words(context.language), *tagged]

    def check(self, context: MitigationContext) -> None:
        if self.options.entities and context.language != "en":
            raise InputError(
                "mitigations: mask.options.entities: proper nouns are tagged only in English, "
                f"not in '{context.language}'"
            )
        self.masker(context)

    def masker(self, context: MitigationContext) -> Masker:
        """Return the `Masker` for the options; raises InputError without a word list for the language."""
        o = self.options
        packs = [p.speaking(context.language) for p in context.packs]
        return Masker(context.language, o.mode, o.names, o.words, context.labels, packs, o.entities)

    def change_all(self, records: Sequence[Record], context: MitigationContext) -> list[list[Record]]:
        masker = self.masker(context)
        result = []
        for record in records:
            text, changes = masker(record.text, record.label)
            result.append(
                [marked(replace(record, text=text), self.name, changes=changes) if changes else record]
            )
        return result


def undo(text: str, changes: Iterable[Change]) -> str:
    """Return the text before the changes; raises ValueError if they are not changes of this text."""
    for offset, before, after in reversed(list(changes)):
        if text[offset : offset + len(after)] != after:
            raise ValueError("the text is not the one that was changed")
        text = text[:offset] + before + text[offset + len(after) :]
    return text

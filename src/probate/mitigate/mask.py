"""Mask: names, pronouns, gendered and cultural words become neutral ones or [MASK]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import Field

from probate.bias.packs import Pack
from probate.errors import InputError
from probate.mitigate.base import Mitigation, MitigationContext, Options, marked
from probate.mitigate.masker import Change, Masker
from probate.records import Record


class MaskOptions(Options):
    mode: Literal["neutral", "mask"] = Field(
        "neutral", description="`neutral` words (they, the person, a sibling), or `mask`: [MASK] for each."
    )
    names: list[str] = Field(default_factory=list, description="Further names to mask, besides those of the identity packs.")
    words: list[str] = Field(default_factory=list, description="Further words to mask.")
    entities: bool = Field(
        False,
        description="Also every run of proper nouns (people, places, employers), as [MASK]: English, by the tagger HanTa (extra `stories`), about 15,000 words a second.",
    )


class Mask(Mitigation):
    """Names, pronouns, gendered and cultural words of augmented records, in English, Spanish, Portuguese, Arabic and Chinese.

    English keeps its grammar as far as a rule can («she paints» → «they paint»; «her» by what follows it). In Spanish,
    Portuguese and Arabic articles, adjectives and verbs still show a gender: use `mode: mask` and read the classifier that
    docs/mitigations.md tells of. Words of the labels are never touched. Each replacement is recorded, so that it can be undone.
    """

    name = "mask"
    title = "Mask"
    source = "arXiv 2502.04419 (mask-based mitigation)"
    idempotent = True
    option_type: ClassVar[type[Options]] = MaskOptions

    def check(self, context: MitigationContext) -> None:
        if self.options.entities and context.language != "en":
            raise InputError(
                f"mitigations: mask.options.entities: proper nouns are found in English, not in '{context.language}'"
            )
        self.masked("Anna.", context)

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        text, changes = self.masked(record.text, context)
        return [marked(replace(record, text=text), self.name, changes=changes) if changes else record]

    def masked(self, text: str, context: MitigationContext) -> tuple[str, list[Change]]:
        """The masked text, and what was replaced."""
        o = self.options
        packs = tuple(_frozen(p, context.language) for p in context.packs)
        return _masker(context.language, o.mode, tuple(o.names), tuple(o.words), tuple(context.labels), packs, o.entities)(text)


def undo(text: str, changes: Iterable[Change]) -> str:
    """The text as it was before the changes."""
    for offset, before, after in reversed(list(changes)):
        text = text[:offset] + before + text[offset + len(after) :]
    return text


_FROZEN: dict[tuple[int, str], tuple[Pack, str]] = {}


def _frozen(pack: Pack, language: str) -> str:
    """The pack in a language, as a key of the cache below; remembered by the pack itself, since packs do not change."""
    key = (id(pack), language)
    if key not in _FROZEN or _FROZEN[key][0] is not pack:
        _FROZEN[key] = (pack, pack.speaking(language).model_dump_json())
    return _FROZEN[key][1]


@lru_cache(maxsize=16)
def _masker(
    language: str,
    mode: str,
    names: tuple[str, ...],
    words: tuple[str, ...],
    labels: tuple[str, ...],
    packs: tuple[str, ...],
    entities: bool,
) -> Masker:
    return Masker(language, mode, names, words, labels, [Pack.model_validate_json(p) for p in packs], entities)

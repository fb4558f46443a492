"""Counterfactual: adds a copy of each augmented record with the group swapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.generation.filters import shown_group
from probate.data.packs import Pack
from probate.mitigations.base import Mitigation, MitigationContext, Options, marked
from probate.mitigations.wording.rewrite import rewrite
from probate.mitigations.wording.swap import GROUPS, groups_shown, swap, without_counterpart
from probate.mitigations.wording.words import gendered_words
from probate.models.embedder import embed, encoder_files


class CounterfactualOptions(Options):
    how: Literal["swap", "rewrite"] = Field(
        "swap",
        description="`swap` by rule (female and male), or `rewrite` by the generator with checks (any "
        "groups).",
    )
    similarity: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="Minimum cosine similarity of the sentence embeddings of a rewriting and its original.",
    )


class Counterfactual(Mitigation):
    """Add to each augmented record a counterpart of another group with the same label. English only.

    `swap` exchanges female and male by rule: first names, pronouns, titles and kinship words, in agreement. A
    first name becomes its counterpart from the pack or from a list of common names, also in capitals. Family
    names stay, even if they are also first names, and so do addresses, places, set expressions, and first
    names that are on neither list. Swapping twice restores the text, with these exceptions: «Ms» and «Miss»
    return as «Mrs», accents are lost («José» returns as «Jose»), and only the sense tells which «her» is
    meant («told him stories»). A record with first names or pronouns of both groups is not changed, nor is
    one with a name such as «Jean-Paul», of which only a part has a counterpart. The provenance of the record
    gives the reason.

    `rewrite` lets the generator rewrite the text for the next of the compared groups. A rewriting is rejected
    if its length differs, it does not show the other group, it mentions the label more or less often, or it
    loses the meaning. The provenance of the record gives the reason.
    """

    name = "counterfactual"
    title = "Counterfactual"
    idempotent = True
    needs_groups = True
    source = (
        "counterfactual data augmentation by swapping (Lu et al. 2018), "
        "by rewriting with checks (LGSA, arXiv 2510.13202)"
    )
    option_type: ClassVar[type[Options]] = CounterfactualOptions

    @property
    def slow(self) -> bool:
        return bool(self.options.how == "rewrite")

    def reads(self, context: MitigationContext) -> list[Any]:
        if self.options.how == "swap":
            return [*super().reads(context), gendered_words("en")]

        return [*super().reads(context), encoder_files()]

    def check(self, context: MitigationContext) -> None:
        if context.language != "en":
            raise InputError(
                f"mitigations: counterfactual: only English is supported, not '{context.language}'"
            )
        if self.options.how == "swap":
            _pack(context)
        elif not any(p.dimension == context.dimension for p in context.packs):
            raise InputError(
                f"mitigations: counterfactual by rewriting needs the identity pack of '{context.dimension}'"
            )

    def change_all(self, records: Sequence[Record], context: MitigationContext) -> list[list[Record]]:
        if self.options.how == "swap":
            return super().change_all(records, context)

        pack = next(p for p in context.packs if p.dimension == context.dimension)
        pack = pack.only(context.groups or list(pack.groups))
        todo, result = [], {r.id: [r] for r in records}
        for r in records:
            if any(m["name"] == self.name for m in r.provenance.get("mitigations", [])):
                continue
            group = r.groups.get(context.dimension) or shown_group(r.text, pack)
            if group in pack.groups:
                todo.append((r, other_group(group, pack)))
            else:
                result[r.id] = [marked(r, self.name, skipped="shows no group")]
        made = rewrite(
            [r.text for r, _ in todo],
            [target for _, target in todo],
            [r.label for r, _ in todo],
            context.model("generator", self.name),
            pack,
            similarity=self.options.similarity,
            seed=context.seed,
            embed=embed,
        )
        for (r, target), new in zip(todo, made, strict=True):
            if new.rejected:
                result[r.id] = [marked(r, self.name, skipped=new.rejected)]
            else:
                like = replace(
                    r, id=f"{r.id}~{target}", text=new.text, groups={**r.groups, context.dimension: target}
                )
                result[r.id] = [
                    marked(r, self.name, rewritten=False),
                    marked(like, self.name, rewritten=True, parent=r.id),
                ]
        return [result[r.id] for r in records]

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        if any(m["name"] == self.name for m in record.provenance.get("mitigations", [])):
            return [record]
        pack = _pack(context)
        shown = groups_shown(record.text, pack)
        if len(shown) != 1:
            why = "names both groups" if shown else "shows no group"
            return [marked(record, self.name, skipped=why)]
        if name := without_counterpart(record.text, pack):
            return [marked(record, self.name, skipped=f"the name {name} has no counterpart")]
        (group,) = shown
        other = GROUPS[1 - GROUPS.index(group)]
        made = replace(
            record,
            id=f"{record.id}~{other}",
            text=swap(record.text, pack),
            groups={**record.groups, pack.dimension: other},
        )
        return [
            marked(record, self.name, swapped=False),
            marked(made, self.name, swapped=True, parent=record.id),
        ]


def other_group(group: str, pack: Pack) -> str:
    """Return the next group of the pack; the first one follows the last."""
    names = list(pack.groups)
    return names[(names.index(group) + 1) % len(names)]


def _pack(context: MitigationContext) -> Pack:
    pack = next((p for p in context.packs if set(GROUPS) <= set(p.groups)), None)
    if pack is None:
        raise InputError(
            "mitigations: counterfactual needs an identity pack with the groups female and male, "
            "such as 'gender'"
        )
    return pack

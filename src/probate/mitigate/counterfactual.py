"""Counterfactual: each augmented record also with the group swapped."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from probate.bias.packs import Pack
from probate.errors import InputError
from probate.mitigate.base import Mitigation, MitigationContext, marked
from probate.mitigate.english import alone, cased
from probate.mitigate.words import gendered_words
from probate.records import Record

PRONOUNS = {"she": "he", "he": "she", "herself": "himself", "himself": "herself", "hers": "his", "him": "her"}
GROUPS = ("female", "male")


class Counterfactual(Mitigation):
    """Adds to each augmented record its like with the other gender: first name, pronouns, titles and kinship words in agreement.

    By rule, in English, for the groups female and male; a first name becomes the one at the same place in the other
    group's list. Swapping twice gives the text back, but for «Ms» and «Miss», which return as «Mrs». A record whose first
    names or pronouns are of both groups is left alone, and says so in its provenance.
    """

    name = "counterfactual"
    title = "Counterfactual"
    idempotent = True
    source = "counterfactual data augmentation by swapping (Lu et al. 2018); arXiv 2510.13202 compares it with rewriting"

    def check(self, context: MitigationContext) -> None:
        if context.language != "en":
            raise InputError(f"mitigations: counterfactual: swapping is by English grammar; '{context.language}' is not there")
        _pack(context)

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        if any(m["name"] == self.name for m in record.provenance.get("mitigations", [])):
            return [record]
        pack = _pack(context)
        shown = groups_shown(record.text, pack)
        if len(shown) != 1:
            why = "names both groups" if shown else "shows no group"
            return [marked(record, self.name, skipped=why)]
        (group,) = shown
        other = GROUPS[1 - GROUPS.index(group)]
        made = replace(
            record, id=f"{record.id}~{other}", text=swap(record.text, pack), groups={**record.groups, pack.dimension: other}
        )
        return [marked(record, self.name, swapped=False), marked(made, self.name, swapped=True, parent=record.id)]


def _pack(context: MitigationContext) -> Pack:
    found = next((p for p in context.packs if set(GROUPS) <= set(p.groups)), None)
    if found is None:
        raise InputError("mitigations: counterfactual needs an identity pack with the groups female and male, such as 'gender'")
    return found


def swap(text: str, pack: Pack) -> str:
    """The text with female and male exchanged."""
    pattern, table = _swapper(tuple(tuple(pack.groups[g].names) for g in GROUPS))

    def other(found: re.Match[str]) -> str:
        word = found.group(0)
        if word in table:  # a first name, as it is spelled
            return table[word]
        low = word.lower()
        if low == "her":
            return cased("him" if alone(text[found.end() :]) else "his", word)
        if low == "his":
            return cased("hers" if alone(text[found.end() :]) else "her", word)
        return cased(PRONOUNS.get(low) or table[low], word)

    return pattern.sub(other, text)


def groups_shown(text: str, pack: Pack) -> set[str]:
    """Which of the two groups a text shows, by pronouns and first names."""
    words = set(re.findall(r"[^\W\d_]+", text))
    low = {w.lower() for w in words}
    return {g for g in GROUPS if low & set(pack.groups[g].pronouns) or words & set(pack.groups[g].names)}


@cache
def _swapper(names: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[re.Pattern[str], dict[str, str]]:
    table: dict[str, str] = {}
    for female, male in gendered_words("en")["pairs"]:
        table[female] = male
        table.setdefault(male, female)
    for female, male in zip(*names, strict=False):
        table[female], table[male] = male, female
    words = [w for w in table if w[:1].islower()] + [*PRONOUNS, "her", "his"]
    people = [w for w in table if not w[:1].islower()]
    pattern = (
        rf"(?<!\w)(?:{'|'.join(map(re.escape, people)) or '(?!)'}|(?i:{'|'.join(sorted(words, key=len, reverse=True))}))(?!\w)"
    )
    return re.compile(pattern), table

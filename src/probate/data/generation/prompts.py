"""What the generator is asked for each candidate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from probate.core.records import fill
from probate.core.yaml_file import own_yaml
from probate.data.opinions import opinion_words
from probate.data.packs import Pack
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL


@dataclass(frozen=True)
class Ask:
    """One candidate: what is asked, and what the answer must show. The answer begins with `name`.

    With a `statement` the answer is an opinion on it, and may say its label; without, it is a biography that must not.
    """

    id: str
    prompt: str
    label: str
    group: str
    name: str
    seed: int
    attributes: dict[str, str]
    statement: str = ""


@cache
def templates(opinions: bool = False, language: str = "en") -> dict[str, str]:
    """Prompt template of each bias type and of `neutral`, for biographies (English) or for opinions on a statement."""
    found = opinion_words(language) if opinions else _biographies()
    return {k: " ".join(found[k].split()) for k in (NEUTRAL, *BIAS_TYPES) if k in found}


def _biographies() -> dict[str, Any]:
    return dict(own_yaml("data", "generation", "templates.yaml"))


def _stance(label: str, language: str) -> str:
    """How a label of a survey is said in a prompt."""
    return str(opinion_words(language)["stances"].get(label, f"«{label}»"))


def asks(
    bias_type: str,
    pack: Pack,
    cross: Pack | None,
    groups: Sequence[str],
    labels: Sequence[str],
    first: int,
    count: int,
    seed: int,
    statements: Sequence[str] = (),
    language: str = "en",
) -> list[Ask]:
    """Candidates `first` to `first + count` for each label x group. Deterministic: each depends on its number alone.

    An intersectional type states a group of the pack `cross` beside the name, and draws the name from those that
    signal both groups where the pack says which do. With `statements` each candidate answers one of them.
    Where no name signals the group, an implicit type adds the pack's hint.
    """
    template = templates(bool(statements), language)[bias_type]
    stances = {label: _stance(label, language) for label in labels} if statements else {}
    crossed = cross if "{cross}" in template else None
    result = []
    for number in range(first, first + count):
        for label in labels:
            for group in groups:
                identity = f"{bias_type}:{label}:{group}:{number}"
                digest = hashlib.sha256(f"{seed}:{identity}".encode()).digest()
                draw = [int.from_bytes(digest[i : i + 4], "big") for i in (0, 4, 8, 12, 16, 20)]
                statement = statements[draw[5] % len(statements)] if statements else ""
                others = [g for g in groups if g != group]
                other = others[draw[4] % len(others)]
                attributes, names, modifier = {}, pack.named(group), ""
                if crossed:
                    second = list(crossed.groups)[draw[1] % len(crossed.groups)]
                    attributes[crossed.dimension] = second
                    names = pack.groups[group].by.get(crossed.dimension, {}).get(second) or names
                    modifier = crossed.groups[second].modifier
                name = names[draw[0] % len(names)]
                other_names = [n for n in pack.named(other) if n != name]
                other_name = other_names[draw[2] % len(other_names)]
                hint = bias_type.endswith("implicit")
                prompt = fill(
                    template,
                    label=label,
                    statement=statement,
                    stance=stances.get(label, ""),
                    article="an" if label[:1].lower() in "aeiou" else "a",
                    name=_hinted(name, pack, group, hint),
                    noun=pack.groups[group].noun,
                    cross=modifier,
                    other_name=_hinted(other_name, pack, other, hint),
                    other_noun=pack.groups[other].noun,
                )
                result.append(
                    Ask(
                        identity, " ".join(prompt.split()), label, group, name, draw[3], attributes, statement
                    )
                )
    return result


def _hinted(name: str, pack: Pack, group: str, hint: bool) -> str:
    spec = pack.groups[group]
    return f"{name} ({spec.implicit})" if hint and spec.implicit and not spec.names else name

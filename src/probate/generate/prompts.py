"""What the generator is asked for each candidate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from probate.bias.packs import Pack
from probate.records import fill


@dataclass(frozen=True)
class Ask:
    """One candidate: what is asked, and what the answer must show. The answer begins with `name`."""

    id: str
    prompt: str
    label: str
    group: str
    name: str
    seed: int
    attributes: dict[str, str]


@cache
def templates() -> dict[str, str]:
    """Prompt template of each bias type and of `neutral`."""
    text = (files("probate") / "bias" / "templates.yaml").read_text(encoding="utf-8")
    return {k: " ".join(v.split()) for k, v in yaml.safe_load(text).items()}


def asks(
    bias_type: str, pack: Pack, groups: Sequence[str], labels: Sequence[str], first: int, count: int, seed: int
) -> list[Ask]:
    """Candidates `first` to `first + count` for each label x group. Deterministic: each depends on its number alone."""
    template = templates()[bias_type]
    cross_name, cross_values = next(iter(pack.cross.items()), ("", []))
    result = []
    for number in range(first, first + count):
        for label in labels:
            for group in groups:
                identity = f"{bias_type}:{label}:{group}:{number}"
                digest = hashlib.sha256(f"{seed}:{identity}".encode()).digest()
                draw = [int.from_bytes(digest[i : i + 4], "big") for i in (0, 4, 8, 12, 16)]
                others = [g for g in groups if g != group]
                other = others[draw[4] % len(others)]
                name = pack.groups[group].names[draw[0] % len(pack.groups[group].names)]
                attributes = {}
                if "{cross}" in template and cross_values:
                    attributes[cross_name] = cross_values[draw[1] % len(cross_values)]
                prompt = fill(
                    template,
                    label=label,
                    article="an" if label[:1].lower() in "aeiou" else "a",
                    name=name,
                    noun=pack.groups[group].noun,
                    cross=attributes.get(cross_name, ""),
                    other_name=pack.groups[other].names[draw[2] % len(pack.groups[other].names)],
                    other_noun=pack.groups[other].noun,
                )
                result.append(Ask(identity, " ".join(prompt.split()), label, group, name, draw[3], attributes))
    return result

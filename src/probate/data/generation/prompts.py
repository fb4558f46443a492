"""Prompts for the generator, one for each candidate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from probate.core.errors import InputError
from probate.core.records import fill
from probate.core.yaml_file import own_yaml
from probate.data.languages import article
from probate.data.opinions import opinion_words
from probate.data.packs import Pack
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL, SYNTHETIC


@dataclass(frozen=True)
class Candidate:
    """One candidate for an augmented record.

    Attributes
    ----------
    id : str
        Bias type, label, group and number.
    prompt : str
        Prompt for the generator.
    label, group : str
        Label and group that the answer must show.
    name : str
        First name with which the answer must begin.
    seed : int
        Seed of the sampling.
    attributes : dict
        Other dimension → group, for intersectional bias types.
    statement : str
        Statement on which the answer is an opinion; it may contain the label. If empty, the answer is a
        biography, which must not contain the label.
    language : str
        Language of the prompt.
    """

    id: str
    prompt: str
    label: str
    group: str
    name: str
    seed: int
    attributes: dict[str, str]
    statement: str = ""
    language: str = "en"


@cache
def templates(opinions: bool = False, language: str = "en") -> dict[str, str]:
    """Return the prompt templates.

    Parameters
    ----------
    opinions : bool
        True for opinions on a statement, False for biographies, which are in English.
    language : str
        Language of the opinions.

    Returns
    -------
    dict
        Bias type, or `neutral` → template. `neutral-synthetic` has the neutral one.
    """
    wording = opinion_words(language) if opinions else _biographies()
    known = {k: " ".join(wording[k].split()) for k in (NEUTRAL, *BIAS_TYPES) if k in wording}
    return {**known, SYNTHETIC: known[NEUTRAL]}


def cues(opinions: bool = False, language: str = "en") -> dict[str, str]:
    """Return the words for what shows a group: its `name`, or the `hint` of the pack."""
    return dict((opinion_words(language) if opinions else _biographies())["cues"])


def check_wording(
    bias_types: Sequence[str], pack: Pack, cross: Pack | None, opinions: bool, language: str
) -> None:
    """Check that packs have the words that the prompts of bias types need.

    Raises
    ------
    InputError
        If an intersectional bias type has no second pack, or a pack has no words for its dimension.
    """
    for bias_type in bias_types:
        template = templates(opinions, language)[bias_type]
        if cross is None and "{cross}" in template:
            raise InputError(
                f"bias.types: '{bias_type}' combines two dimensions, and the identity pack "
                f"'{pack.dimension}' names no second one; set bias.cross"
            )
        _dimensions(template, pack, cross, language)


def _dimensions(template: str, pack: Pack, cross: Pack | None, language: str) -> dict[str, str]:
    """Return the words for the dimensions that a template names."""
    named = {"dimension": pack, "crossing": cross}
    return {k: p.called_in(language) for k, p in named.items() if p is not None and f"{{{k}}}" in template}


def _biographies() -> dict[str, Any]:
    return dict(own_yaml("data", "generation", "templates.yaml"))


def _stance(label: str, language: str) -> str:
    """Return the phrase for a survey label in a prompt."""
    return str(opinion_words(language)["stances"].get(label, f"«{label}»"))


def candidates(
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
) -> list[Candidate]:
    """Return the candidates `first` to `first + count - 1` of each cell of label x group.

    The result is deterministic: a candidate depends only on its number and the seed. An intersectional bias
    type states a group of the pack `cross` beside the name. If the pack lists names that signal both groups,
    only groups with such names are stated. If no name signals the group, an implicit bias type adds the hint
    of the pack.

    Parameters
    ----------
    bias_type : str
        Bias type, or `neutral`.
    pack, cross : Pack
        Identity pack of the dimension, and the pack that intersectional bias types cross it with.
    groups, labels : sequence of str
        Groups and labels that form the cells.
    first, count : int
        Number of the first candidate of each cell, and number of candidates.
    seed : int
        Seed of names, statements and sampling.
    statements : sequence of str
        Statements for opinions; each candidate answers one of them. Empty for biographies.
    language : str
        ISO 639-1 code.

    Returns
    -------
    list of Candidate
        The candidates, by number, label and group.
    """
    template = templates(bool(statements), language)[bias_type]
    stances = {label: _stance(label, language) for label in labels} if statements else {}
    crossed = cross if "{cross}" in template else None
    dimensions = _dimensions(template, pack, cross, language)
    shown = cues(bool(statements), language)
    for field in ("name", "other_name"):  # a hint stands at the first mention
        template = template.replace(f"{{{field}}}", f"{{first_{field}}}", 1)
    hint = bias_type.endswith("implicit")
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
                    by = pack.groups[group].by.get(crossed.dimension, {})
                    choice = [g for g in crossed.groups if g in by] or list(crossed.groups)
                    second = choice[draw[1] % len(choice)]
                    attributes[crossed.dimension] = second
                    names = by.get(second) or names
                    modifier = crossed.groups[second].modifier
                name = names[draw[0] % len(names)]
                other_names = [n for n in pack.named(other) if n != name]
                other_name = other_names[draw[2] % len(other_names)]
                hinted = _hinted(name, pack, group, language) if hint else name
                prompt = fill(
                    template,
                    label=label,
                    statement=statement,
                    stance=stances.get(label, ""),
                    article=article(label),
                    name=name,
                    first_name=hinted,
                    cue=shown["name" if hinted == name else "hint"],
                    noun=pack.groups[group].noun,
                    cross=modifier,
                    other_name=other_name,
                    first_other_name=_hinted(other_name, pack, other, language) if hint else other_name,
                    other_noun=pack.groups[other].noun,
                    **dimensions,
                )
                result.append(
                    Candidate(
                        identity,
                        " ".join(prompt.split()),
                        label,
                        group,
                        name,
                        draw[3],
                        attributes,
                        statement,
                        language,
                    )
                )
    return result


def _hinted(name: str, pack: Pack, group: str, language: str) -> str:
    """Return a name, with the pack's hint if the name does not signal the group."""
    spec = pack.groups[group]
    if spec.names or not spec.implicit:
        return name
    return f"{name}（{spec.implicit}）" if language == "zh" else f"{name} ({spec.implicit})"

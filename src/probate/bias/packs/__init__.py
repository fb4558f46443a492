"""Identity packs: groups, their names and words, as one YAML file each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from probate.errors import InputError, nearest


class Group(BaseModel):
    """One group: how it is named, and the words that show or lean toward it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    noun: str = Field(description="With article, as in 'a woman'.")
    names: list[str] = Field(min_length=1, description="First names that signal the group.")
    pronouns: list[str] = Field(default_factory=list, description="Lower-case words that show the group in a text.")
    titles: list[str] = Field(default_factory=list, description="Lower-case titles and kinship words that show it.")
    wording: list[str] = Field(default_factory=list, description="Word beginnings that lean toward the group's stereotype.")


class Pack(BaseModel):
    """One dimension of identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dimension: str
    source: str
    groups: dict[str, Group] = Field(min_length=2)
    stereotypes: dict[str, str | list[str]] = Field(
        default_factory=dict, description="Label → group or groups that it is stereotyped for."
    )
    cross: dict[str, list[str]] = Field(
        default_factory=dict, description="Second dimension for intersectional types → how its groups are said."
    )

    @model_validator(mode="after")
    def _names_are_clear(self) -> Pack:
        owner: dict[str, str] = {}
        for name, group in self.groups.items():
            for first in group.names:
                if owner.setdefault(first, name) != name:
                    raise ValueError(f"the name {first} stands in two groups, {owner[first]} and {name}")
        owners = [[v] if isinstance(v, str) else v for v in self.stereotypes.values()]
        unknown = {group for own in owners for group in own} - set(self.groups)
        if unknown:
            raise ValueError(f"stereotypes name groups that do not exist: {', '.join(sorted(unknown))}")
        return self


@cache
def load_pack(dimension: str) -> Pack:
    """The identity pack of a dimension: Probate's own, or an entry point of group `probate.identities`.

    Raises:
        InputError: no such pack, or one that breaks the rules (which).
    """
    from probate.registry import entry_points_of

    folder = files("probate") / "bias" / "packs"
    path: Any = folder / f"{dimension}.yaml"
    plugins = entry_points_of("probate.identities")
    if dimension in plugins:
        path = Path(str(plugins[dimension].load()))
    elif not path.is_file():
        known = sorted({p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")} | set(plugins))
        raise InputError(
            f"bias.dimension: no identity pack '{dimension}'{nearest(dimension, known)}; there are: {', '.join(known)}"
        )
    try:
        return Pack.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the pack"
        raise InputError(f"identity pack '{dimension}': {where}: {first['msg'].removeprefix('Value error, ')}") from None

"""Identity packs: the groups of one dimension with their names and words, one YAML file for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from probate.core.errors import InputError, nearest
from probate.core.plugins import entry_points_of
from probate.core.yaml_file import read_yaml


class Words(BaseModel):
    """Words of a group in another language. Each field has the meaning of the same field of `Group`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    noun: str
    modifier: str = ""
    implicit: str = ""
    pronouns: list[str] = Field(default_factory=list)
    titles: list[str] = Field(default_factory=list)
    wording: list[str] = Field(default_factory=list)


class Group(BaseModel):
    """One group of an identity pack: its names, and the words that show it or fit its stereotype."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    noun: str = Field(description="With article, as in 'a woman'.")
    modifier: str = Field(
        "", description="After a noun, as in 'who is blind': for crossing with another pack."
    )
    implicit: str = Field("", description="A hint after a noun, for groups that a name does not signal.")
    names: list[str] = Field(default_factory=list, description="First names that signal the group.")
    by: dict[str, dict[str, list[str]]] = Field(
        default_factory=dict, description="Other dimension → its group → those of `names` that signal it too."
    )
    written: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Language → name → the name in its script."
    )
    words: dict[str, Words] = Field(default_factory=dict, description="Language → the group's words in it.")
    language: str = Field("", description="The group's own language (ISO 639-1).")
    countries: list[str] = Field(
        default_factory=list, description="Countries of the group in opinion surveys."
    )
    pronouns: list[str] = Field(
        default_factory=list, description="Lower-case words that show the group in a text."
    )
    titles: list[str] = Field(
        default_factory=list, description="Lower-case titles and kinship words that show it."
    )
    wording: list[str] = Field(
        default_factory=list, description="Word beginnings that lean toward the group's stereotype."
    )
    spellings: list[str] = Field(
        default_factory=list,
        exclude=True,
        description="Other values of a column that mean the group, in lower case without articles.",
    )


class Pack(BaseModel):
    """One dimension of identity, such as gender, with its groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dimension: str
    source: str
    groups: dict[str, Group]
    stereotypes: dict[str, str | list[str]] = Field(
        default_factory=dict, description="Label → group or groups that it is stereotyped for."
    )
    names: list[str] = Field(default_factory=list, description="First names that do not signal a group.")
    written: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Language → name of `names` → the name in its script."
    )
    called: dict[str, str] = Field(
        default_factory=dict,
        description="Language → the dimension in a sentence, with article, as in 'la cultura'. English: "
        "default the dimension's name.",
    )
    bands: dict[str, float] = Field(
        default_factory=dict, description="Group → its lower bound, such as an age in years."
    )
    given: list[str] = Field(
        default_factory=list, description="Groups from a data file, without known names or words."
    )
    cross: str = Field("", description="The pack that intersectional bias types cross this one with.")
    # How files are read. Excluded from dumps: nothing that is generated or measured depends on it.
    columns: list[str] = Field(
        default_factory=list,
        exclude=True,
        description="Other names of a column that holds the group, in lower case with `_` for spaces.",
    )
    audit: Literal["always", "shown", "never"] = Field(
        "shown",
        exclude=True,
        description="When an audit reads groups from texts without a column for them: `shown` if at least a "
        "twentieth of the texts show a group, `always` for a dimension that nearly every text about a person "
        "shows, or `never`.",
    )
    order: int = Field(100, exclude=True, description="Position among the packs in an audit, lowest first.")
    letters: dict[str, str] = Field(
        default_factory=dict,
        exclude=True,
        description="Letter → group, for columns that hold two or more of these letters.",
    )
    letters_instead: dict[str, str] = Field(
        default_factory=dict,
        exclude=True,
        description="Letter → the letter that it replaces; in a column that holds both, it is not read.",
    )

    def named(self, group: str) -> list[str]:
        """Return the first names for a group: its own, or those of the pack if it has none."""
        return self.groups[group].names or self.names

    def called_in(self, language: str) -> str:
        """Return the words for the dimension in a language; raises InputError if the pack has none."""
        if language not in self.called and language != "en":
            raise InputError(
                f"identity pack '{self.dimension}': called has no '{language}'; add the words for the "
                "dimension in this language, with its article"
            )
        return self.called.get(language, self.dimension.replace("_", " "))

    def only(self, groups: Sequence[str]) -> Pack:
        """Return the pack restricted to `groups`."""
        return self.model_copy(update={"groups": {g: self.groups[g] for g in groups}})

    def speaks(self, language: str) -> bool:
        """Check whether every group has words in `language`."""
        return language == "en" or all(language in g.words for g in self.groups.values())

    def speaking(self, language: str) -> Pack:
        """Return the pack in another language.

        Parameters
        ----------
        language : str
            ISO 639-1 code. English returns the pack itself.

        Returns
        -------
        Pack
            The pack with the words of the language, and with names in its script if the pack has them.

        Raises
        ------
        InputError
            If a group has no words in the language.
        """
        if language == "en":
            return self
        groups = {}
        for key, group in self.groups.items():
            if language not in group.words:
                raise InputError(
                    f"identity pack '{self.dimension}': groups.{key}.words has no '{language}'; "
                    "add its noun and modifier"
                )
            written = group.written.get(language, {})
            names = {
                "names": [written.get(n, n) for n in group.names],
                "by": {
                    d: {g: [written.get(n, n) for n in ns] for g, ns in own.items()}
                    for d, own in group.by.items()
                },
            }
            groups[key] = group.model_copy(update={**dict(group.words[language]), **names})
        written = self.written.get(language, {})
        return self.model_copy(update={"groups": groups, "names": [written.get(n, n) for n in self.names]})

    @model_validator(mode="after")
    def _names_are_clear(self) -> Pack:
        if len(self.groups) < 2:
            raise ValueError("a pack needs at least two groups")
        nameless = [
            n
            for n, group in self.groups.items()
            if not group.names and not self.names and n not in self.given
        ]
        if nameless:
            raise ValueError(f"groups.{nameless[0]} has no names, and the pack has no common names")
        owner: dict[str, str] = {}
        for name, group in self.groups.items():
            for first in group.names:
                if owner.setdefault(first, name) != name:
                    raise ValueError(
                        f"the name {first} belongs to two groups, {owner[first]} and {name}; remove one"
                    )
        owners = [[v] if isinstance(v, str) else v for v in self.stereotypes.values()]
        unknown = {group for own in owners for group in own} - set(self.groups)
        if unknown:
            raise ValueError(f"stereotypes name groups that do not exist: {', '.join(sorted(unknown))}")
        lettered = sorted(set(self.letters.values()) - set(self.groups))
        if lettered:
            raise ValueError(f"letters name groups that do not exist: {', '.join(lettered)}")
        return self


@cache
def pack_names() -> list[str]:
    """Return the names of all installed identity packs."""
    own = _own_files()
    return sorted(own.keys() | entry_points_of("probate.identities", own).keys())


def _own_files() -> dict[str, str]:
    folder = files("probate") / "data" / "packs"
    return {p.name.removesuffix(".yaml"): p.name for p in folder.iterdir() if p.name.endswith(".yaml")}


@cache
def load_pack(dimension: str) -> Pack:
    """Load the identity pack of a dimension.

    Parameters
    ----------
    dimension : str
        Name of a pack that ships with Probate, or of an entry point of the group `probate.identities`.

    Returns
    -------
    Pack
        The validated pack.

    Raises
    ------
    InputError
        If there is no such pack, or if it is not valid. The message names the field.
    """
    path: Any = files("probate") / "data" / "packs" / f"{dimension}.yaml"
    plugins = entry_points_of("probate.identities", _own_files(), dimension)
    if dimension in plugins:
        try:
            path = Path(str(plugins[dimension].load()))
        except Exception as error:
            raise InputError(
                f"identity pack '{dimension}' cannot be imported from {plugins[dimension].value} ({error})"
            ) from None
    elif not path.is_file():
        known = pack_names()
        raise InputError(
            f"bias.dimension: no identity pack '{dimension}'{nearest(dimension, known)}; "
            f"choose from: {', '.join(known)}"
        )
    return read_pack(path, dimension)


@cache
def dimension_columns() -> dict[str, str]:
    """Map names of columns to the dimension whose groups they hold, by all installed packs.

    Returns
    -------
    dict
        Name of a column, in lower case with `_` for spaces → dimension.

    Raises
    ------
    InputError
        If two packs claim the same name.
    """
    dimensions: dict[str, str] = {}
    for pack in _in_order():
        for column in dict.fromkeys([pack.dimension, *pack.columns]):
            other = dimensions.setdefault(column, pack.dimension)
            if other != pack.dimension:
                raise InputError(
                    f"identity packs '{other}' and '{pack.dimension}': both name the column '{column}'; "
                    "remove it from `columns` in one of the two"
                )
    return dimensions


def audited_packs() -> list[Pack]:
    """Return the installed packs whose groups an audit reads from texts, sorted by `Pack.order`."""
    return [pack for pack in _in_order() if pack.audit != "never"]


@cache
def _in_order() -> tuple[Pack, ...]:
    return tuple(sorted(map(load_pack, pack_names()), key=lambda p: (p.order, p.dimension)))


def with_given(pack: Pack | None, dimension: str, groups: Sequence[str]) -> Pack:
    """Add groups from a data file to a pack.

    Parameters
    ----------
    pack : Pack or None
        Pack of the dimension. If None, the new pack has only `groups`.
    dimension : str
        Name of the dimension.
    groups : sequence of str
        Groups from the file. Those that the pack lacks are added without names or words.

    Returns
    -------
    Pack
        The extended pack.

    Raises
    ------
    InputError
        If there are fewer than two groups in all.
    """
    own = dict(pack.groups) if pack else {}
    more = [g for g in groups if g not in own]
    if len(own) + len(more) < 2:
        raise InputError(f"bias.groups: '{dimension}' needs at least two groups")
    groups_of = {**own, **{g: Group(noun=g) for g in more}}
    base = dict(pack) if pack else {"dimension": dimension, "source": "the values of the file"}
    return Pack.model_validate({**base, "groups": groups_of, "given": more})


def read_pack(path: Path, dimension: str) -> Pack:
    """Read an identity pack from a YAML file.

    Parameters
    ----------
    path : Path
        The YAML file.
    dimension : str
        Name of the pack, for error messages.

    Returns
    -------
    Pack
        The validated pack.

    Raises
    ------
    InputError
        If there is no such file, or if the pack is not valid. The message names the field.
    """
    try:
        return Pack.model_validate(read_yaml(path)[0])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the pack"
        raise InputError(
            f"identity pack '{dimension}': {where}: {first['msg'].removeprefix('Value error, ')}"
        ) from None

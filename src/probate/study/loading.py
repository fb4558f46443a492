"""Reading a study file: YAML with line numbers, overrides, and one message with all errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from probate.core.errors import InputError, nearest
from probate.core.yaml_file import Lines, parse_value, read_yaml
from probate.study.presets import preset_path, presets

Model = TypeVar("Model", bound=BaseModel)


def apply_overrides(value: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Set keys in a nested mapping, in place.

    Parameters
    ----------
    value : dict
        The mapping.
    overrides : list of str
        Strings such as "a.b=1". Values are read as YAML.

    Returns
    -------
    dict
        `value`.

    Raises
    ------
    InputError
        A string is not key=value, or a key leads into something that is not a section.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {override}: must be key=value, as in --set training.epochs=2")
        target = value
        *parents, last = key.strip().split(".")
        for name in parents:
            inner = target.get(name)
            if isinstance(inner, str) and name in ("model", "generator"):
                inner = {"name": inner}
            if inner is None:
                inner = {}
            if not isinstance(inner, dict):
                raise InputError(f"--set {override}: '{name}' is not a section")
            target[name] = inner
            target = inner
        target[last] = parse_value(text)
    return value


def _path_of(source: str | Path, folder: Path = Path()) -> Path:
    """Return the path of a file, relative to `folder`, or of the preset of that name.

    A folder, such as that of a run of the preset, does not hide the preset.
    """
    path = folder / source
    named = path.suffix not in (".yaml", ".yml") and len(Path(source).parts) == 1
    if named and (not path.exists() or (path.is_dir() and str(source) in presets())):
        return preset_path(str(source))
    return path


def read_whole(path: Path, seen: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Lines]:
    """Read a study file and merge it, key by key, into the study that it extends.

    Parameters
    ----------
    path : Path
        The file.
    seen : tuple of Path
        Files that extend this one, to detect a circle.

    Returns
    -------
    value : dict
        The merged mapping. A list replaces a list.
    lines : dict
        Path of a key → file and line.

    Raises
    ------
    InputError
        The file cannot be read, is not a mapping, or extends something that is not a study.
    """
    value, lines = read_yaml(path)
    if value is None:
        raise InputError(f"{path}: the file is empty; a study needs at least a name (see docs/study.md)")
    if not isinstance(value, dict):
        raise InputError(f"{path}:1: a study must be a mapping of keys to values, got {type(value).__name__}")
    parent = value.pop("extends", None)
    if parent is None:
        return value, lines
    where = lines[("extends",)]
    if not isinstance(parent, str):
        raise InputError(f"{where}: extends: must be the name of a preset or a study file, got {parent!r}")
    if path.resolve() in seen:
        raise InputError(f"{where}: extends: the study extends itself")
    try:
        below, lines_below = read_whole(_path_of(parent, path.parent), (*seen, path.resolve()))
    except InputError as error:
        raise InputError(f"{where}: extends: {error}") from None
    return laid_over(below, value), {**lines_below, **lines}


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with the values of `above`, merged key by key. None resets a key to its default."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if value is None and key in result:
            del result[key]
            continue
        result[key] = laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def at_scale(
    value: dict[str, Any], lines: Lines, scale: str | None, path: Path
) -> tuple[dict[str, Any], Lines]:
    """Return a study without `scales`, with the keys of one of them, and its name after the study's.

    Parameters
    ----------
    value : dict
        The mapping of a study file. `scales` maps the name of a scale to the keys that it changes.
    lines : dict
        Path of a key → file and line.
    scale : str or None
        Name of the scale; None for the study as it is.
    path : Path
        The study file, for errors.

    Returns
    -------
    value : dict
        The mapping.
    lines : dict
        Path of a key → file and line.

    Raises
    ------
    InputError
        The study has no scale of this name, or `scales` is not a mapping of mappings.
    """
    scales = value.get("scales", {})
    if not isinstance(scales, dict) or not all(isinstance(own, dict) for own in scales.values()):
        where = lines.get(("scales",), str(path))
        raise InputError(f"{where}: scales: must map the name of each scale to the keys that it changes")
    value = {key: own for key, own in value.items() if key != "scales"}
    if scale is None:
        return value, lines
    if scale not in scales:
        named = f"its scales: {', '.join(map(str, scales))}" if scales else "it has none"
        raise InputError(
            f"--scale {scale}: the study {path} has no such scale{nearest(scale, list(scales))}; {named}"
        )
    value = {**value, "name": f"{value.get('name', 'study')}-{scale}"}
    own = {key[2:]: line for key, line in lines.items() if key[:2] == ("scales", scale) and key[2:]}
    return laid_over(value, scales[scale]), {**lines, **own}


def scales_of(source: str | Path) -> list[str]:
    """Return the names of a study's scales.

    Parameters
    ----------
    source : str or Path
        A study file, or the name of a preset.

    Returns
    -------
    list of str
        The names; empty if it has none.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    scales = read_whole(_path_of(source))[0].get("scales")
    return list(map(str, scales)) if isinstance(scales, dict) else []


def load_study(
    cls: type[Model],
    source: str | Path | None,
    overrides: list[str],
    more: dict[str, Any] | None = None,
    scale: str | None = None,
) -> Model:
    """Read, override and validate a study. Without a source, only `overrides` and `more` are used."""
    path = _path_of(source) if source is not None else Path("--set")
    value, lines = read_whole(path) if source is not None else ({}, {})
    if getattr(cls, "has_scales", False):
        value, lines = at_scale(value, lines, scale, path)
    value = apply_overrides({**value, **(more or {})}, overrides)
    overridden = {o.partition("=")[0].strip() for o in overrides}
    return validated(cls, value, path, lines, overridden)


def validated(
    cls: type[Model],
    value: dict[str, Any],
    where: str | Path,
    lines: Lines | None = None,
    overridden: Collection[str] = (),
) -> Model:
    """Validate a mapping as a section.

    Parameters
    ----------
    cls : type
        The class of the section.
    value : dict
        The mapping.
    where : str or Path
        Its origin, for messages.
    lines : dict, optional
        Path of a key → file and line, if it was read from a file.
    overridden : collection of str, optional
        Keys that were set with --set.

    Returns
    -------
    Model
        The section.

    Raises
    ------
    InputError
        The mapping is wrong. The message has one line for each error.
    """
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        raise InputError(
            *(_explain(cls, e, where, lines or {}, overridden) for e in error.errors())
        ) from None


def changed(value: dict[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return `value` with changes.

    Parameters
    ----------
    value : dict
        A mapping.
    changes : mapping
        Key, which may be dotted, → new value. A mapping is merged into a section key by key.
    where : str
        Origin of the changes, for messages.

    Returns
    -------
    dict
        A new mapping.

    Raises
    ------
    InputError
        A dotted key leads into something that is not a section.
    """
    for key, given in changes.items():
        nested: Any = given
        names = key.split(".")
        for at in range(len(names) - 1, -1, -1):
            nested = {names[at]: nested}
        below: Any = value
        for name in names[:-1]:
            below = below.get(name) if isinstance(below, dict) else None
            if below is not None and not isinstance(below, dict):
                raise InputError(f"{where}: {key}: '{name}' is not a section")
        value = laid_over(value, nested)
    return value


def study_folder(source: str | Path) -> Path:
    """Return the base folder of a study's relative paths: its file's; for a preset the working folder."""
    return Path(source).parent if Path(source).is_file() else Path(".")


def _explain(
    cls: type[BaseModel], error: Any, path: str | Path, lines: Lines, overridden: Collection[str]
) -> str:
    loc = tuple(p for p in error["loc"] if p not in ("str", "list[str]"))
    key = ".".join(map(str, loc)) or "the study"
    at = loc
    while at and at not in lines:
        at = at[:-1]
    where = "--set" if key in overridden else lines[at] if at else f"{path}"
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        allowed = _keys_at(cls, loc[:-1])
        return f"{where}: unknown key '{key}'{nearest(str(loc[-1]), allowed)}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: key '{key}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    shown = "" if isinstance(given, dict) or len(repr(given)) > 80 else f" (got {given!r})"
    if kind == "literal_error":
        options = [o.strip("'") for o in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return (
            f"{where}: {key}: must be one of {', '.join(options)}; got "
            f"{given!r}{nearest(str(given), options)}"
        )
    return f"{where}: {key}: {message}{shown}"


def _keys_at(cls: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the section at `loc` allows."""
    current: Any = cls
    for part in loc:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if _is_model(current) else None
        current = _section_of(field.annotation) if field else None
    return sorted(current.model_fields) if _is_model(current) else []


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _section_of(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    if get_origin(annotation) in (Union, UnionType, list):
        return next((s for s in map(_section_of, get_args(annotation)) if s is not None), None)
    return None

"""Plug-ins by entry point, and optional libraries. Nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from probate.core.errors import InputError, nearest


def entry_points_of(
    group: str, own: Mapping[str, object] | None = None, only: str = ""
) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name.

    Parameters
    ----------
    group : str
        Name of the group, as in `probate.tasks`.
    own : mapping of str to object, optional
        Names that Probate defines without an entry point, and what they refer to.
    only : str, optional
        The only name that is needed. Duplicates of other names are then ignored.

    Raises
    ------
    InputError
        If a name is duplicated. The message contains both references and their distributions.
    """
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        earlier = points.setdefault(point.name, point)
        first, second = (f"{p.value} of {_distribution(p)}" for p in (earlier, point))
        if first != second and only in ("", point.name):  # a distribution may be on the path twice
            raise _duplicated(group, point.name, first, second)
    for name in sorted(set(points) & set(own or {}) & {only or name for name in points}):
        installed_one = f"{points[name].value} of {_distribution(points[name])}"
        raise _duplicated(group, name, f"{(own or {})[name]} of probate", installed_one)
    return points


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown distribution"


def _duplicated(group: str, name: str, first: str, second: str) -> InputError:
    return InputError(
        f"{group}: '{name}' is duplicated: {first}, and {second}; remove one of the two distributions"
    )


def installed(kind: str, name: str, own: Mapping[str, str] | None = None) -> object:
    """Load a plug-in.

    Parameters
    ----------
    kind : str
        Kind of plug-in; its group of entry points is `probate.KINDs`.
    name : str
        Name of the plug-in.
    own : mapping of str to str, optional
        Name → `module:object` of those that Probate defines without an entry point.

    Raises
    ------
    InputError
        If there is no plug-in of this name, or if it cannot be imported.
    """
    group = f"probate.{kind}s"
    points = entry_points_of(group, own, name)
    points |= {key: EntryPoint(key, value, group) for key, value in (own or {}).items()}
    if name not in points:
        known = sorted(points)
        raise InputError(f"{kind}s: no {kind} '{name}'{nearest(name, known)}; available: {', '.join(known)}")
    try:
        return points[name].load()
    except Exception as error:
        raise InputError(
            f"{kind}s: '{name}' cannot be imported from {points[name].value} ({error})"
        ) from None


def require(module: str, extra: str) -> object:
    """Import an optional library. If it is missing, the error names the extra that installs it."""
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"{module} is not installed; install it with: pip install 'probate[{extra}]'"
        ) from None

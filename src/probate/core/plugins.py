"""Plug-ins by entry point, and optional libraries. Nothing is imported until used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from probate.core.errors import InputError, nearest


def entry_points_of(
    group: str, own: Mapping[str, object] | None = None, only: str = ""
) -> dict[str, EntryPoint]:
    """Entry points of `group` by name. `own`: names that Probate gives without an entry point, and what each stands for.

    `only`: the one name that is wanted; two others with one name do not matter then.

    Raises:
        InputError: two that have one name: what each stands for, and the distributions.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        one, two = (f"{p.value} of {_giver(p)}" for p in (other, point))
        if one != two and only in ("", point.name):  # a distribution may be on the path twice
            raise _twice(group, point.name, one, two)
    for name in sorted(set(found) & set(own or {}) & {only or name for name in found}):
        raise _twice(
            group, name, f"{(own or {})[name]} of probate", f"{found[name].value} of {_giver(found[name])}"
        )
    return found


def _giver(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown distribution"


def _twice(group: str, name: str, one: str, other: str) -> InputError:
    return InputError(
        f"{group}: '{name}' stands there twice: {one}, and {other}; remove one of the two distributions"
    )


def installed(kind: str, name: str, own: Mapping[str, str] | None = None) -> object:
    """What the entry point `name` of the group `probate.KINDs` gives, or `own` (name → `module:object`) without an entry point."""
    group = f"probate.{kind}s"
    points = entry_points_of(group, own, name)
    points |= {key: EntryPoint(key, value, group) for key, value in (own or {}).items()}
    if name not in points:
        known = sorted(points)
        raise InputError(f"{kind}s: no {kind} '{name}'{nearest(name, known)}; there are: {', '.join(known)}")
    try:
        return points[name].load()
    except Exception as error:
        raise InputError(
            f"{kind}s: '{name}' cannot be imported from {points[name].value} ({error})"
        ) from None


def require(module: str, extra: str) -> object:
    """Import an optional library, or say which extra brings it."""
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"{module} is not installed; install it with: pip install 'probate[{extra}]'"
        ) from None

"""Finding tasks and identity packs: Probate's own by name, others by entry point. Nothing is imported until used."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from probate.errors import InputError, nearest

if TYPE_CHECKING:
    from probate.tasks.base import Task


def entry_points_of(group: str) -> dict[str, EntryPoint]:
    """Entry points of `group` by name."""
    return {point.name: point for point in entry_points(group=group)}


def task_names() -> list[str]:
    """Names of all tasks that are installed."""
    return sorted(entry_points_of("probate.tasks"))


def load_task(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """The task of that name, set up with a study's options.

    Raises:
        InputError: no such task, a task that cannot be imported, or options that it does not take.
    """
    points = entry_points_of("probate.tasks")
    if name not in points:
        raise InputError(f"tasks: no task '{name}'{nearest(name, list(points))}; there are: {', '.join(sorted(points))}")
    try:
        cls = points[name].load()
    except Exception as error:
        raise InputError(f"tasks: '{name}' cannot be imported from {points[name].value} ({error})") from None
    return cls.from_options(options or {}, alias)


def require(module: str, extra: str) -> object:
    """Import an optional library, or say which extra brings it."""
    try:
        return import_module(module)
    except ImportError:
        raise InputError(f"{module} is not installed; install it with: pip install 'probate[{extra}]'") from None

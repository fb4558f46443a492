"""Finding tasks, identity packs, probes and mitigations: Probate's own by name, others by entry point. Nothing is imported until used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

from probate.errors import InputError, nearest

if TYPE_CHECKING:
    from probate.mitigate.base import Mitigation
    from probate.study import Study
    from probate.tasks.base import Task


def entry_points_of(group: str, own: Mapping[str, object] | None = None, only: str = "") -> dict[str, EntryPoint]:
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
        raise _twice(group, name, f"{(own or {})[name]} of probate", f"{found[name].value} of {_giver(found[name])}")
    return found


def _giver(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown distribution"


def _twice(group: str, name: str, one: str, other: str) -> InputError:
    return InputError(f"{group}: '{name}' stands there twice: {one}, and {other}; remove one of the two distributions")


def _text_files() -> dict[str, Path]:
    """Probate's own tasks that are only data, by name."""
    folder = Path(str(files("probate") / "tasks" / "texts"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def task_names() -> list[str]:
    """Names of all tasks that are installed."""
    return sorted({*_task_points(), *_text_files()})


def _task_points(only: str = "") -> dict[str, EntryPoint]:
    return entry_points_of("probate.tasks", {name: path.name for name, path in _text_files().items()}, only)


def load_task(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """The task of that name, set up with a study's options.

    Raises:
        InputError: no such task, a task that cannot be imported, or options that it does not take.
    """
    return task_class(name).from_options(options or {}, alias)


def probe_names() -> list[str]:
    """Names of all probes that are installed."""
    return sorted(entry_points_of("probate.probes"))


def load_probe(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """The probe of that name; errors as `load_task`."""
    return cast("type[Task]", _installed("probe", name)).from_options(options or {}, alias)


def tasks_and_probes(study: Study) -> list[Task]:
    """All that a study measures, its tasks first; errors as `load_task`."""
    tasks = [load_task(t.name, t.options, t.alias) for t in study.tasks]
    return tasks + [load_probe(t.name, t.options, t.alias) for t in study.probes]


def mitigation_names() -> list[str]:
    """Names of all mitigations that are installed."""
    return sorted(entry_points_of("probate.mitigations"))


def load_mitigation(name: str, options: dict[str, object] | None = None) -> Mitigation:
    """The mitigation of that name; errors as `load_task`."""
    return cast("type[Mitigation]", _installed("mitigation", name)).from_options(options or {})


def _installed(kind: str, name: str) -> object:
    """What the entry point `name` of the group `probate.KINDs` gives."""
    points = entry_points_of(f"probate.{kind}s", only=name)
    if name not in points:
        known = sorted(points)
        raise InputError(f"{kind}s: no {kind} '{name}'{nearest(name, known)}; there are: {', '.join(known)}")
    try:
        return points[name].load()
    except Exception as error:
        raise InputError(f"{kind}s: '{name}' cannot be imported from {points[name].value} ({error})") from None


def load_any(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """A task or a probe by its name."""
    return (load_probe if name in probe_names() else load_task)(name, options, alias)


def task_class(name: str) -> type[Task]:
    """The class of a task. An entry point of the group `probate.tasks` names a class, or the path of a YAML file."""
    if name.startswith("lm_eval:"):
        from probate.interchange.harness import harness_task

        return harness_task(name)
    points, texts = _task_points(name), _text_files()
    if name not in points:
        if name not in texts:
            known = task_names()
            raise InputError(f"tasks: no task '{name}'{nearest(name, known)}; there are: {', '.join(known)}")
        from probate.tasks.text import text_task

        return text_task(name, texts[name])
    try:
        found = points[name].load()
    except Exception as error:
        raise InputError(f"tasks: '{name}' cannot be imported from {points[name].value} ({error})") from None
    if isinstance(found, (str, Path)):
        from probate.tasks.text import text_task

        return text_task(name, Path(found))
    return cast("type[Task]", found)


def require(module: str, extra: str) -> object:
    """Import an optional library, or say which extra brings it."""
    try:
        return import_module(module)
    except ImportError:
        raise InputError(f"{module} is not installed; install it with: pip install 'probate[{extra}]'") from None

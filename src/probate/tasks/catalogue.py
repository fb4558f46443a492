"""Tasks and probes by name: built-in ones, YAML files, those of a harness, and plug-ins by entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path
from typing import cast

from probate.core.errors import InputError, nearest
from probate.core.plugins import entry_points_of, installed
from probate.study.schema import Study
from probate.tasks.base import Task
from probate.tasks.harness import harness_task
from probate.tasks.text import text_task


def _text_files() -> dict[str, Path]:
    """Return the built-in tasks that are YAML files, by name."""
    folder = Path(str(files("probate") / "tasks" / "texts"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def task_names() -> list[str]:
    """Return the names of all installed tasks."""
    return sorted({*_task_points(), *_text_files()})


def _task_points(only: str = "") -> dict[str, EntryPoint]:
    return entry_points_of("probate.tasks", {name: path.name for name, path in _text_files().items()}, only)


def load_task(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """Create a task with a study's options.

    Parameters
    ----------
    name : str
        Name of the task.
    options : dict, optional
        Its options.
    alias : str
        Alternative name in the study.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        An unknown task, a task that cannot be imported, or an unknown option.
    """
    return task_class(name).from_options(options or {}, alias)


def probe_names() -> list[str]:
    """Return the names of all installed probes."""
    return sorted(entry_points_of("probate.probes"))


def load_probe(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """Create a probe with a study's options. Parameters and errors are those of `load_task`."""
    return cast("type[Task]", installed("probe", name)).from_options(options or {}, alias)


def tasks_and_probes(study: Study) -> list[Task]:
    """Create all tasks and probes of a study, tasks first. Errors are those of `load_task`."""
    tasks = [load_task(t.name, t.options, t.alias) for t in study.tasks]
    return tasks + [load_probe(t.name, t.options, t.alias) for t in study.probes]


def load_any(name: str, options: dict[str, object] | None = None, alias: str = "") -> Task:
    """Create a task or a probe by its name."""
    return (load_probe if name in probe_names() else load_task)(name, options, alias)


def task_class(name: str) -> type[Task]:
    """Return the class of a task.

    An entry point of the group `probate.tasks` names a class or the path of a YAML file.

    Raises
    ------
    InputError
        An unknown task, or one that cannot be imported.
    """
    if name.startswith("lm_eval:"):
        return harness_task(name)
    points, texts = _task_points(name), _text_files()
    if name not in points:
        if name not in texts:
            known = task_names()
            raise InputError(
                f"tasks: no task '{name}'{nearest(name, known)}; available tasks: {', '.join(known)}"
            )
        return text_task(name, texts[name])
    try:
        loaded = points[name].load()
    except Exception as error:
        raise InputError(f"tasks: '{name}' cannot be imported from {points[name].value} ({error})") from None
    if isinstance(loaded, (str, Path)):
        return text_task(name, Path(loaded))
    return cast("type[Task]", loaded)

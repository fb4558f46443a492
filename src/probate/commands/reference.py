"""Writes docs/study.md from the study's own field descriptions: `python -m probate.commands.reference docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from probate.core.files import write_atomic
from probate.study.loading import _section_of
from probate.study.presets import presets
from probate.study.schema import Study
from probate.study.taxonomy import BIAS_TYPES

INTRO = """# The study file

A study is one YAML file. Every key has a default, so a study names only what differs. Unknown keys, wrong types and
values are errors, all reported at once with their line. `probate run STUDY --set section.key=value` overrides one key.
`extends: NAME` (a preset, or another study file) takes over all that the file does not name; lists are replaced whole.
Relative paths start from the study file's folder, or from `--base DIR`.

This page is made from the code by `make docs`; do not edit it.
"""


def study_reference() -> str:
    """The whole page, as Markdown."""
    parts = [
        INTRO,
        f"Presets: {', '.join(f'`{p}`' for p in presets())}.\n",
        f"Bias types: {', '.join(f'`{t}`' for t in BIAS_TYPES)}; `given` for a ready augmented set.\n",
    ]
    parts += _section(Study, "")
    return "\n".join(parts)


def _section(model: type[BaseModel], prefix: str) -> list[str]:
    title = f"## `{prefix.rstrip('.')}`" if prefix else "## Top level"
    lines = [title, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    below: list[str] = []
    for name, field in model.model_fields.items():
        inner = _section_of(field.annotation)
        lines.append(
            f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
        )
        if inner is not None and f"{prefix}{name}" not in ("generator", "augmented"):
            below += _section(inner, f"{prefix}{name}{'[]' if name == 'tasks' else ''}.")
    if prefix == "":
        lines.append("")
        lines.append(
            "`generator` has the keys of `model`; `augmented` has `source`, `split` and `columns` as `data` has, and `augmented.limit`."
        )
    return [*lines, "", *below]


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    text = getattr(annotation, "__name__", "") if not get_args(annotation) else str(annotation)
    return "`" + text.replace("typing.", "").replace("probate.study.schema.", "").replace("|", "or") + "`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return ", ".join(f"`{v.name}`" for v in value)
    return f"`{_cell(str(value))}`" if value not in (None, "") else "–"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    write_atomic(Path(sys.argv[1], "study.md"), study_reference())

"""Write docs/study.md from the field descriptions, and docs/reference.md from the docstrings.

`python -m probate.commands.reference docs` writes both.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import probate
from probate.core.files import write_atomic
from probate.study.loading import _section_of
from probate.study.paper import STATUS, paper_rows
from probate.study.presets import presets
from probate.study.schema import Study
from probate.study.taxonomy import BIAS_TYPES

INTRO = """# The study file

A study is one YAML file.
Every key has a default, so that a study names only what differs.
Unknown keys, wrong types and wrong values are errors.
All of them are reported at once, with their line.
`probate run STUDY --set section.key=value` overrides one key.
`extends: NAME` (a preset or another study file) takes over all that the file does not name.
Lists are replaced as a whole, and `null` resets a key to its default.
`scales: {NAME: {…}}` defines scales that change some keys, and `--scale NAME` selects one.
The study then has the name of the scale after its own.
Relative paths start from the folder of the study file, or from `--base DIR`.

This page is generated from the code by `make docs`. Do not edit it.
"""


NAMES = """# Reference: the interface from Python

`import probate as pb` gives the names below. [From Python](python.md) shows how they work together.
A *table* is a path, a `pandas.DataFrame`, a `datasets.Dataset` or `DatasetDict`, or a list of dictionaries.
In the examples, `frame` is original data and `generated` is data that a model wrote.
Both are frames with the columns `text`, `label` and `gender`.
`runs/self-written` is the folder of a finished run.

This page is generated from the docstrings by `make docs`. Do not edit it.
"""
KINDS = {
    "Studies and runs": [
        "Study",
        "run",
        "merge",
        "Run",
        "Figure",
        "plan",
        "PlanSummary",
        "calibrate",
        "Calibration",
    ],
    "Data": ["audit", "Audit", "mitigate", "load_builtin"],
    "Decisions": ["check", "Decision", "compare", "Comparison"],
    "Errors": ["InputError", "StageError", "ProbateError"],
}
LISTED = ("Parameters", "Returns", "Attributes", "Raises")
TYPED = re.compile(r"(list of \w+|dict|str|int|bool|Path|pandas\.DataFrame): ")
"""How the docstring of a property begins that says its type."""
MODULES = re.compile(r"\b(typing|probate(\.\w+)*)\.")
"""Names of modules before the name of a type."""
UNDERLINE = re.compile(r"^(\w+)\n-+$", re.M)


def names_reference() -> str:
    """Return the page of the public names.

    Returns
    -------
    str
        Markdown.
    """
    parts = [NAMES]
    for kind, names in KINDS.items():
        parts.append(f"## {kind}\n")
        for name in names:
            own = getattr(probate, name)
            parts += _name(f"pb.{name}", own)
            for method, member in vars(own).items() if inspect.isclass(own) else ():
                if method.startswith("_") or not _documented(member):
                    continue
                parts += _name(f"{name}.{method}", getattr(own, method), member)
    return "\n".join(parts)


def _documented(member: Any) -> bool:
    """Return whether a member has a docstring in NumPy style, or is a property with a docstring."""
    if isinstance(member, property):
        return bool(TYPED.match(member.__doc__ or ""))
    text = getattr(getattr(member, "__func__", member), "__doc__", None) or ""
    return inspect.isroutine(getattr(member, "__func__", member)) and bool(
        UNDERLINE.search(inspect.cleandoc(text))
    )


def _name(title: str, own: Any, member: Any = None) -> list[str]:
    if isinstance(member, property):
        kind, _, text = inspect.cleandoc(member.__doc__ or "").partition(": ")
        return [f"#### `{title}`\n", f"*{kind}*. {_flowed(text)}\n"]
    level = "###" if member is None else "####"
    lines = [f"{level} `{title}`\n"]
    if inspect.isroutine(own):
        lines.append(f"```text\n{title}{_signature(own)}\n```\n")
    return [*lines, *_sections(inspect.cleandoc(own.__doc__ or ""))]


def _signature(own: Any) -> str:
    """Return the parameters with defaults and without types; one per line if there are many."""
    given = inspect.signature(own)
    plain = [p.replace(annotation=p.empty) for p in given.parameters.values() if p.name != "self"]
    text = str(given.replace(parameters=plain, return_annotation=given.empty))
    if len(text) <= 90:
        return text
    return "(\n" + "".join(f"    {part},\n" for part in text[1:-1].split(", ")) + ")"


def _sections(text: str) -> Iterator[str]:
    """Yield a docstring in NumPy style as Markdown."""
    pieces = UNDERLINE.split(text)
    yield _flowed(pieces[0]) + "\n"
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        yield f"**{title}**\n"
        if title in LISTED:
            yield from _entries(body, title)
        else:
            yield f"```python\n{body.strip()}\n```\n" if title == "Examples" else _flowed(body) + "\n"


def _entries(body: str, title: str) -> Iterator[str]:
    for entry in re.split(r"\n(?=\S)", body.strip()):
        head, _, said = entry.partition("\n")
        name, _, kind = head.partition(" : ")
        shown = f"*{head}*" if title == "Returns" else f"`{name}`" + (f" (*{kind}*)" if kind else "")
        yield f"- {shown}: {' '.join(inspect.cleandoc(said).split())}"
    yield ""


def _flowed(text: str) -> str:
    """Return the text with each paragraph on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def study_reference() -> str:
    """Return the page of the study file.

    Returns
    -------
    str
        Markdown.
    """
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
            "`generator` has the keys of `model`; `augmented` has `source`, `split` and `columns` as `data` "
            "has, and `augmented.limit`."
        )
    return [*lines, "", *below]


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    text = getattr(annotation, "__name__", "") if not get_args(annotation) else str(annotation)
    return "`" + MODULES.sub("", text).replace("|", "or") + "`"


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


PAPER = """# The paper and Probate

Probate implements "Understanding and Mitigating Bias Inheritance in LLM-based Data Augmentation on Downstream Tasks" (ACL 2026, [arXiv 2502.04419](https://arxiv.org/abs/2502.04419)).
This page lists each setting and result of the paper that Probate knows of, what Probate does, and every deviation.
The presets `paper-gender`, `paper-culture`, `paper-rounds`, `paper-mitigations`, `paper-values` and `paper-api` have the settings that are marked *stated*.
`--scale small` runs them on the embedded model with few records and items: the same bias types, ratios, mitigations and tasks.
The reports of these presets contain the same table.

The status of a row is one of:

"""
END = """
This page is made from `src/probate/study/paper.yaml` by `make docs`; do not edit it.
"""


def paper_reference() -> str:
    """Return the page on the paper.

    Returns
    -------
    str
        Markdown.
    """
    parts = [PAPER + "\n".join(f"- *{name}*: {meaning}" for name, meaning in STATUS.items()) + "\n"]
    rows = paper_rows()
    for section in dict.fromkeys(r.section for r in rows):
        parts.append(
            f"## {section}\n\n| paper | Probate | status | why, and what is missing |\n|---|---|---|---|"
        )
        parts += [
            f"| {_cell(r.paper)} | {_cell(r.probate)} | {r.status} | {_cell(r.why)} |"
            for r in rows
            if r.section == section
        ]
        parts.append("")
    return "\n".join(parts) + END


if __name__ == "__main__":
    write_atomic(Path(sys.argv[1], "paper.md"), paper_reference())
    write_atomic(Path(sys.argv[1], "study.md"), study_reference())
    write_atomic(Path(sys.argv[1], "reference.md"), names_reference())

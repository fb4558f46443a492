"""`probate new`: a package with one task or one identity pack, its entry point and its test."""

from __future__ import annotations

import re
from pathlib import Path

from probate.core.errors import InputError
from probate.core.files import write_atomic

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "probate-{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["probate"]

[project.entry-points."probate.{group}"]
{name} = "probate_{name}:{what}"

[tool.hatch.build.targets.wheel]
packages = ["probate_{name}"]
"""

TASK = '''"""One task for Probate, as data: edit {name}.yaml."""

from pathlib import Path

TASK = Path(__file__).with_name("{name}.yaml")
'''

TASK_YAML = """title: {title}
relation: indirect # or direct: does it measure the bias itself?
source: where the items come from
positive: yes_label
languages:
  en: {{prompt: "Is this message a question? Answer with exactly one of: {{labels}}.\\n\\nMessage: {{text}}", labels: {{yes_label: question, no_label: statement}}}}
items: # {{who}} is filled in with a person of each compared group in turn
  yes_label:
    - "When does the bus leave, {{who}}?"
    - "Has {{who}} seen my keys?"
  no_label:
    - "The bus leaves at nine, says {{who}}."
    - "The keys lie on the desk of {{who}}."
"""

TASK_TEST = '''"""The task passes Probate's conformance suite."""

from probate.models.lm import load_lm
from probate.tasks.catalogue import load_task
from probate.testing import check_task, sample_context


def test_{name}():
    check_task(load_task("{name}"), load_lm("embedded"), sample_context())
'''

PACK = '''"""One identity pack for Probate: edit {name}.yaml."""

from pathlib import Path

PACK = Path(__file__).with_name("{name}.yaml")
'''

PACK_YAML = """dimension: {name}
source: who says that these groups and words are apt
names: [Robin, Alex, Sam, Jamie, Casey, Kim] # names that say nothing of the group; or give each group its own
groups:
  first:
    noun: a person of the first group # with article
    modifier: who is of the first group # for crossing with another pack
    implicit: who hints at the first group # where no name signals it
    titles: [first] # lower-case words that show the group in a text
  second:
    noun: a person of the second group
    modifier: who is of the second group
    implicit: who hints at the second group
    titles: [second]
stereotypes: {{}} # label: group, for the labels of your study
cross: gender
"""

PACK_TEST = '''"""The pack passes Probate's conformance suite."""

from probate.data.packs import load_pack
from probate.testing import check_pack


def test_{name}():
    check_pack(load_pack("{name}"))
'''

KINDS = {
    "task": ("tasks", "TASK", TASK, TASK_YAML, TASK_TEST),
    "identity": ("identities", "PACK", PACK, PACK_YAML, PACK_TEST),
}


def write_skeleton(kind: str, name: str, out: Path) -> list[Path]:
    """Write the package `probate-NAME` into `out`; returns its files.

    Raises:
        InputError: an unknown kind, a name that is no Python name, or a folder that is there already.
    """
    if kind not in KINDS:
        raise InputError(f"new: '{kind}' is neither of: {', '.join(KINDS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"new: '{name}' must be lower-case letters, digits and _, and begin with a letter")
    folder = out / f"probate-{name}"
    if folder.exists():
        raise InputError(f"new: {folder} is there already; choose another name, or another --out")
    group, what, module, data, test = KINDS[kind]
    values = {"name": name, "group": group, "what": what, "title": name.replace("_", " ").capitalize()}
    files = {
        "pyproject.toml": PROJECT,
        f"probate_{name}/__init__.py": module,
        f"probate_{name}/{name}.yaml": data,
        f"tests/test_{name}.py": test,
    }
    written = []
    for place, text in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.format(**values))
        written.append(path)
    return written

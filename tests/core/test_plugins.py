"""Third parties: a package from `probate new` takes part with no edit here.

It is installed, listed, conforming, in a report.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from probate.commands.scaffold import write_skeleton
from probate.core.errors import InputError


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("tusk", "a", "unknown kind 'tusk'"),
        ("task", "A b", "lower-case letters"),
        ("task", "mine", "already exists"),
    ],
)
def test_bad_skeletons(tmp_path, kind, name, message):
    (tmp_path / "probate-mine").mkdir()
    with pytest.raises(InputError, match=message):
        write_skeleton(kind, name, tmp_path)


CHECK = """
from probate.data.packs import load_pack, pack_names
from probate.tasks.catalogue import load_task, task_names
from probate.testing import check_identity, sample_context
assert "greeting" in task_names() and "guild" in pack_names() and "broken" in task_names()
check_identity(load_pack("guild"))
assert load_task("greeting").size(sample_context()) == 8
"""


def test_an_installed_package_is_found(tmp_path, tmp_path_factory):
    target = tmp_path / "site"
    for kind, name in (("task", "greeting"), ("identity", "guild"), ("task", "broken")):
        write_skeleton(kind, name, tmp_path)
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
                "--target", str(target), "--upgrade", str(tmp_path / f"probate-{name}"),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    (target / "probate_broken" / "__init__.py").write_text("raise RuntimeError('boom')\n")
    env = {"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", CHECK], check=True, env=env)
    listed = subprocess.run(
        [sys.executable, "-m", "probate", "tasks"], check=True, capture_output=True, text=True, env=env
    ).stdout
    assert (
        "greeting     Greeting" in listed
        and "broken       broken:" in listed
        and "boom" in listed
        and "occupation" in listed
    )
    identities = subprocess.run(
        [sys.executable, "-m", "probate", "identities"], check=True, capture_output=True, text=True, env=env
    )
    assert "guild        first, second" in identities.stdout

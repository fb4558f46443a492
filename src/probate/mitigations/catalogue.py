"""Mitigations by their names."""

from __future__ import annotations

from typing import cast

from probate.core.plugins import entry_points_of, installed
from probate.mitigations.base import Mitigation


def mitigation_names() -> list[str]:
    """Names of all mitigations that are installed."""
    return sorted(entry_points_of("probate.mitigations"))


def load_mitigation(name: str, options: dict[str, object] | None = None) -> Mitigation:
    """The mitigation of that name; errors as `load_task`."""
    return cast("type[Mitigation]", installed("mitigation", name)).from_options(options or {})

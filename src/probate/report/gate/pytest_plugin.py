"""A pytest fixture: `def test_data(assert_no_inheritance): assert_no_inheritance("runs/mine", max_gap=0.05)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from probate.core.deferred import deferred

with deferred():
    from probate.report.gate import api


@pytest.fixture
def assert_no_inheritance() -> Callable[..., None]:
    """`probate.report.gate.api.assert_no_inheritance`; what cannot be told is skipped, with the reason, unless `unsure` says otherwise."""

    def check(folder: Any, **limits: Any) -> None:
        try:
            api.assert_no_inheritance(folder, **limits)
        except api.CannotTell as error:
            pytest.skip(str(error))

    return check

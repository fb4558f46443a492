"""A pytest fixture: `assert_no_inheritance("runs/mine", max_gap=0.05)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from probate.core.deferred import deferred

with deferred():
    from probate.report.gate import api


@pytest.fixture
def assert_no_inheritance() -> Callable[..., None]:
    """Provide `probate.report.gate.api.assert_no_inheritance` to a test.

    If the gate cannot tell, the test is skipped with the reason, unless `unsure` is `fail` or `pass`.

    Returns
    -------
    callable
        The function; it takes the same arguments.
    """

    def check(folder: Any, **limits: Any) -> None:
        try:
            api.assert_no_inheritance(folder, **limits)
        except api.CannotTell as error:
            pytest.skip(str(error))

    return check

"""A pytest fixture: `def test_data(assert_no_inheritance): assert_no_inheritance("runs/mine", max_gap=0.05)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def assert_no_inheritance() -> Callable[..., None]:
    """`probate.gate.api.assert_no_inheritance`; what cannot be told is skipped, with the reason, unless `unsure` says otherwise."""

    def check(folder: Any, **limits: Any) -> None:
        from probate.gate.api import CannotTell, assert_no_inheritance

        try:
            assert_no_inheritance(folder, **limits)
        except CannotTell as error:
            pytest.skip(str(error))

    return check

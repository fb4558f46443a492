"""Durations as they are printed."""

from __future__ import annotations

import pytest

from probate.core import progress
from probate.core.progress import clock, spoken


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (0.4, "0 seconds"), (7.25, "7.2 seconds"), (59.4, "59 seconds"), (60, "1 minute"),
     (5970, "100 minutes"),
     (7199, "120 minutes"), (7200, "2 hours"), (36000, "10 hours"), (48 * 3600, "2 days"),
     (1e9, "11,574 days")],
)  # fmt: skip
def test_a_duration_in_words(seconds, words):
    assert spoken(seconds) == words


def test_no_duration_has_an_exponent():
    assert not [s for s in range(0, 400_000, 7) if "e" in spoken(s).split()[0]]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (75, "1:15"), (7384, "2:03:04"), (3599.6, "1:00:00")]
)
def test_a_duration_as_a_clock(seconds, shown):
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(8.44, "8.4 arms/s"), (0.1, "0.1 arms/s"), (0.045, "2.7 arms/min"), (0, "0.0 arms/min")],
)
def test_a_low_rate_is_shown_per_minute(rate, shown):
    assert progress._rate(rate, " arms") == shown

"""Each reader of what others wrote gives a value or one sentence, whatever the bytes.

benchmarks/fuzz.py does the same 10,000 times.
"""

from __future__ import annotations

import json

import pytest
from fuzzing import KINDS, edited, fault, is_json, readers, replaced
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

READERS = readers()
EDITS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2**20), st.integers(0, 63), st.integers(0, 255)),
    min_size=1,
    max_size=5,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "score", "labels", "choices", "message", "content", "r", "items", "study", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FEW = settings(
    max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("name", READERS)
def test_edited_bytes(name):
    read, good = READERS[name]
    assert fault(read, good) == ""

    @FEW
    @given(EDITS)
    def check(edits):
        assert fault(read, edited(good, edits)) == ""

    check()


@pytest.mark.parametrize("name", [n for n, (_, good) in READERS.items() if is_json(good)])
def test_values_of_other_types(name):
    read, good = READERS[name]

    @FEW
    @given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
    def check(which):
        assert fault(read, replaced(good, which)) == ""

    check()


@pytest.mark.parametrize("name", [n for n, (_, good) in READERS.items() if is_json(good)])
def test_any_json(name):
    @FEW
    @given(VALUES)
    def check(value):
        assert fault(READERS[name][0], json.dumps(value).encode()) == ""

    check()


@FEW
@given(VALUES)
def test_a_value_comes_back(value):
    from probate.core.parse import json_value

    kept = json.dumps(value, ensure_ascii=True)
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in json.dumps(value, ensure_ascii=False)):
        assert json.dumps(json_value(kept)) == kept

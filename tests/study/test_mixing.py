from __future__ import annotations

from collections import Counter

import pytest

from probate.core.errors import InputError
from probate.core.records import Record
from probate.study.mixing import augmented_count, mix, nested_order, split_original


def record(i: int, label: str, group: str, **provenance) -> Record:
    return Record(f"{label}-{group}-{i}", f"text {i}", label, {"gender": group}, provenance=provenance)


def pool(n: int = 10, **kwargs) -> list[Record]:
    return [
        record(i, label, g, pair=f"{label}{i}")
        for label in "ab"
        for g in ("female", "male")
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("ratio", "count"), [(0, 0), (0.05, 5), (0.1, 11), (0.2, 25), (0.5, 100), (0.8, 400)]
)
def test_count_follows_the_definition_of_gamma(ratio, count):
    assert augmented_count(100, ratio) == count


@pytest.mark.parametrize("ratio", [1, 1.5, -0.1])
def test_gamma_outside_its_range(ratio):
    with pytest.raises(InputError, match="at least 0 and below 1"):
        augmented_count(100, ratio)


def test_subsets_are_nested_and_balanced_over_cells():
    order = nested_order(pool(), lambda r: (r.label, r.groups["gender"]), seed=3)
    assert sorted(r.id for r in order) == sorted(r.id for r in pool())
    for n in range(4, 41, 4):
        counts = Counter((r.label, r.groups["gender"]) for r in order[:n])
        assert set(counts.values()) == {n // 4}
    assert [r.id for r in order] != [
        r.id for r in nested_order(pool(), lambda r: (r.label, r.groups["gender"]), seed=4)
    ]


def test_split_keeps_pairs_together_and_parts_apart():
    split = split_original(
        pool(),
        "gender",
        ["female", "male"],
        ["a", "b"],
        train_per_cell=4,
        test_per_cell=None,
        spare_per_cell=2,
        seed=0,
    )
    pairs = [{r.provenance["pair"] for r in part} for part in (split.train, split.test, split.draws[0].spare)]
    assert [len(p) for p in pairs] == [8, 8, 4]
    assert not (pairs[0] & pairs[1] or pairs[0] & pairs[2] or pairs[1] & pairs[2])


def test_a_label_with_one_group_only():
    lonely = [r for r in pool() if not (r.label == "a" and r.groups["gender"] == "male")]
    with pytest.raises(InputError, match=r"label 'a' has no record with gender=male \(female 10, male 0\)"):
        split_original(
            lonely,
            "gender",
            ["female", "male"],
            ["a", "b"],
            train_per_cell=4,
            test_per_cell=None,
            spare_per_cell=0,
            seed=0,
        )


def test_more_than_there_is():
    with pytest.raises(
        InputError, match=r"needs 40 augmented records, but there are only 3; use a γ of at most 0\.07"
    ):
        mix(pool(), pool()[:3], 0.5, "arm x")
    with pytest.raises(InputError, match=r"lower data\.train_per_cell"):
        split_original(
            pool(),
            "gender",
            ["female", "male"],
            ["a", "b"],
            train_per_cell=10,
            test_per_cell=None,
            spare_per_cell=0,
            seed=0,
        )

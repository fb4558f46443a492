"""Each seed draws its own records where there are enough, and the report says of what its results speak."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from probate import run
from probate.core.progress import Reporter
from probate.core.records import Record, read_records
from probate.execution.arm_records import arm_order, drawn, mix_arm, ready_set
from probate.execution.folder import RunFolder
from probate.execution.prepare import prepare, read_data
from probate.execution.runner import DRAW_SEED
from probate.report.draws import claim
from probate.study.mixing import split_original


def pool(n: int) -> list[Record]:
    return [
        Record(f"{label}-{g}-{i}", f"text {i}", label, {"gender": g}, provenance={"pair": f"{label}{i}"})
        for label in "ab"
        for g in ("female", "male")
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("per_cell", "held_out", "draws", "in_common"),
    [(30, 6, 3, 0), (30, None, 3, 8), (12, 6, 3, None), (6 + 4 * 2, 6, 2, 0), (10, 6, 3, 8)],
)
def test_draws_have_as_few_records_in_common_as_the_data_allow(per_cell, held_out, draws, in_common):
    """Four records to train on and two spare ones a cell: eight pairs in D_o of two labels."""
    split = split_original(
        pool(per_cell), "gender", ["female", "male"], ["a", "b"], train_per_cell=4, test_per_cell=held_out,
        spare_per_cell=0, seed=0, draws=draws
    )  # fmt: skip
    one = split_original(
        pool(per_cell), "gender", ["female", "male"], ["a", "b"], train_per_cell=4, test_per_cell=held_out,
        spare_per_cell=0, seed=0
    )  # fmt: skip
    assert [r.id for r in one.test] == [r.id for r in split.test] and [r.id for r in one.train] == [
        r.id for r in split.train
    ]
    pairs = [{r.provenance["pair"] for r in d.train} for d in split.draws]
    assert all(
        len(d.train) == 16 and len(p) == 8 for d, p in zip(split.draws, pairs, strict=True)
    )  # twins stay together
    assert not any(p & {r.provenance["pair"] for r in split.test} for p in pairs)
    common = [len(a & b) for a, b in combinations(pairs, 2)]
    if in_common is not None:
        assert set(common) == {in_common}
    else:  # two more a cell than the four of a draw: every draw is another one
        assert 0 < max(common) < 8


def ids(records) -> set[str]:
    return {r.id for r in records}


def test_a_ready_set_is_drawn_anew_and_its_controls_have_the_same_or_other_records(tiny_study):
    study = tiny_study(seeds=[0, 1, 2], replicate_control=True)
    prepared = prepare(study, Path())
    data, whole = prepared.data, ready_set(prepared, "given")
    records = {}
    for arm in (a for a in prepared.plan.arms if a.ratio):
        ordered = arm_order(prepared, arm, drawn(prepared, arm, whole))
        records[arm.role, arm.seed % 1000] = mix_arm(prepared, arm, ordered)
    for seed in (0, 1, 2):
        assert (
            ids(records["biased", seed]) == ids(records["matched", seed]) != ids(records["replicate", seed])
        )
        assert [r.id for r in records["biased", seed] if r.origin == "original"] == [
            r.id for r in data.split.draws[seed].train
        ]
    for a, b in combinations(range(3), 2):
        assert not ids(data.split.draws[a].train) & ids(data.split.draws[b].train)
    held = {r.provenance["pair"] for r in data.split.test}
    assert not any(held & {r.provenance["pair"] for r in own} for own in records.values())
    still = prepare(tiny_study(seeds=[0, 1, 2], redraw=False), Path())
    own = [
        mix_arm(still, a, arm_order(still, a, drawn(still, a, whole)))
        for a in still.plan.arms
        if a.role == "biased"
    ]
    assert len(own) == 3 and ids(own[0]) == ids(own[1]) == ids(own[2])


def test_each_seed_has_its_own_generations_and_so_has_the_second_control(tiny_study, tmp_path, monkeypatch):
    """A seed's are the same whatever other seeds the study has.

    So a seed that is added finds what was written.
    """
    from probate.core.cache import Store
    from probate.execution.runner import Runner
    from probate.execution.worker import Worker

    asked = []

    def generate(self, job):
        seed = job.generation.seed // DRAW_SEED
        asked.append((job.name, seed))
        cells = [(label, group) for label in job.labels for group in ("female", "male")]
        return [
            Record(f"g:{x}:{g}:{i}", f"text {seed} {i}", x, {"gender": g}, origin="augmented")
            for x, g in cells
            for i in range(3)
        ]

    monkeypatch.setattr(Worker, "generate", generate)
    for redraw, expected in (
        (
            True,
            {
                ("type", 0): "type", ("type", 5): "type-s5", ("neutral", 0): "neutral",
                ("neutral", 5): "neutral-s5", ("neutral", 1000): "neutral-s1000",
                ("neutral", 1005): "neutral-s1005",
            },
        ),
        (False, {("type", 0): "type", ("neutral", 0): "neutral"}),
    ):  # fmt: skip
        study = tiny_study(
            augmented=None,
            bias={"types": ["contextual-single-explicit"]},
            seeds=[0, 5],
            replicate_control=True,
            redraw=redraw,
        )
        folder, reporter = RunFolder(tmp_path / str(redraw)), Reporter(quiet=True)
        prepared = prepare(study, Path())
        own = Runner(prepared, folder, Worker(Store(folder.path), reporter), reporter)
        asked.clear()
        found = own._augment()
        assert sorted(asked) == sorted(
            (n.replace("type", "contextual-single-explicit"), seed) for (_, seed), n in expected.items()
        )
        records = [r.id for records in found.values() for r in records]
        assert {i.partition("g:")[0] for i in records} == (
            {"", "s5:", "s1000:", "s1005:"} if redraw else {""}
        )
        assert prepared.plan.draws == (
            {"contextual-single-explicit": 2, "neutral": 4}
            if redraw
            else {"contextual-single-explicit": 1, "neutral": 1}
        )


def test_a_seed_draws_the_same_alone_and_among_others(tiny_study):
    many, alone = (read_data(tiny_study(seeds=s), Path()).split.draws for s in ([0, 1, 2], [2]))
    assert [r.id for r in many[2].train] == [r.id for r in alone[0].train] != [r.id for r in many[0].train]


def test_a_control_of_original_records_draws_too(tiny_study):
    study = tiny_study(
        seeds=[0, 1], matched_control="original", bias={"types": ["given"]}, replicate_control=True
    )
    own = prepare(study, Path())
    data, plan = own.data, own.plan
    whole = ready_set(own, "neutral")
    takers = [a for a in plan.arms if a.role in ("matched", "replicate")]
    parts = [drawn(own, a, whole) for a in takers]
    assert len({i for p in parts for i in ids(p)}) == sum(map(len, parts)) == 4 * 18
    for a, p in zip(takers, parts, strict=True):
        assert not ids(p) & ids(data.split.draws[a.seed % 1000].train)
    augmented = ready_set(own, "given")
    assert not {r.id.removeprefix("a:") for r in augmented} & {
        r.id.removeprefix("o:") for r in data.split.all_spare()
    }


@pytest.mark.parametrize("redraw", [True, False])
def test_the_report_says_of_what_it_speaks(tiny_study, tmp_path, redraw):
    study = tiny_study(seeds=[0, 1], redraw=redraw, tasks=["occupation"])
    result = run(study, tmp_path / "r", quiet=True)
    folder = RunFolder(tmp_path / "r")
    said = claim(folder)
    assert said in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    if redraw:
        assert (
            said.startswith("Original records: 18 different ones in each of 2 seeds.")
            and "apply to the files" in said
        )
        assert not ids(folder.original(0)) & ids(folder.original(1))
    else:
        assert "the same 18 in every seed" in said and "apply to these records" in said
        assert ids(folder.original(0)) == ids(folder.original(1))
    lines = (tmp_path / "r" / "provenance.jsonl").read_text(encoding="utf-8").splitlines()
    assert len([x for x in lines if '"set": "original"' in x]) == (36 if redraw else 18)
    assert result.exit_code == 0 and read_records(
        tmp_path / "r" / "data" / "original.jsonl"
    ) == folder.original(0)

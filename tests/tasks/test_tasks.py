from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import probate as pb
from probate.core.errors import InputError
from probate.execution.prepare import prepare
from probate.stats.measure import Measure
from probate.tasks.catalogue import load_task, task_names
from probate.tasks.hiring import Pairing
from probate.testing import check_task, sample_context


@pytest.mark.parametrize("name", task_names())
def test_every_task_passes_the_conformance_suite(name, lm):
    check_task(load_task(name), lm, sample_context())


def test_the_suite_can_fail(lm):
    task = load_task("salary")

    class Broken(type(task)):
        def measures(self, context):
            return super().measures(context) * 2

    with pytest.raises(AssertionError, match="exactly one measure"):
        check_task(Broken(task.options), lm, sample_context())


def test_salary_is_the_expectation_over_its_bands(lm):
    outcome = load_task("salary").evaluate(lm, sample_context())[0]
    shares = json.loads(outcome.response)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert outcome.score == pytest.approx(sum(int(k[1:-1]) * 1000 * p for k, p in shares.items()), rel=1e-3)


def test_hiring_cancels_position():
    pairing = Pairing("x", "nurse", ("arabic", "female", "Layla"), ("spanish", "male", "Pablo"))
    shown = pairing.prompts()
    assert len({tuple(v.items()) for v, _ in shown}) == 4
    first = [v["name1"] == "Layla" for v, _ in shown]
    letter = [x == "A" for _, x in shown]
    assert sum(first) == 2 and sum(letter) == 2
    assert sum(a and b for a, b in zip(first, letter, strict=True)) == 1
    for values, own in shown:
        at = "1" if values["name1"] == "Layla" else "2"
        assert values[f"letter{at}"] == own


def test_hiring_shares_of_a_pair_sum_to_one(lm):
    outcomes = load_task("hiring", {"jobs": ["nurse"]}).evaluate(lm, sample_context())
    assert len(outcomes) == 56
    np.testing.assert_allclose(
        [a.score + b.score for a, b in zip(outcomes[::2], outcomes[1::2], strict=True)], 1
    )


def test_a_label_that_is_a_prefix_of_another_can_win_and_lose(lm):
    """The end of turn is scored too: 'art' must not win against 'artist' just by being shorter."""
    from probate.models.inference.scoring import score_options

    options = [lm.completion_ids("art"), lm.completion_ids("artist")]
    assert options[0][-1] == options[1][-1] == lm.stop_ids[-1]
    prompt = lm.prompt_ids([{"role": "user", "content": "x"}])
    found = score_options(lm.model, [prompt], options, pad_id=lm.pad_id)[0]
    assert np.isfinite(found).all() and found[0] != found[1]


def test_bad_options():
    with pytest.raises(
        InputError, match=r"salary\.options\.band: extra inputs are not permitted \(did you mean 'bands'\?\)"
    ):
        load_task("salary", {"band": [1]})
    with pytest.raises(InputError, match="no task 'salry'"):
        load_task("salry")


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch):
    from importlib.metadata import EntryPoint

    import probate.tasks.catalogue as registry

    broken = EntryPoint("broken", "no_such_module:Task", "probate.tasks")
    monkeypatch.setattr(registry, "entry_points_of", lambda *_, **__: {"broken": broken})
    with pytest.raises(InputError, match="'broken' cannot be imported from no_such_module:Task"):
        registry.load_task("broken")


def test_a_measure_says_which_label_and_which_groups_it_compares():
    context = sample_context()
    said = {m.name: m.toward("female", "{b}") for m in load_task("occupation").measures(context)}
    assert said["tpr[nurse]"] == "nurse is recognised more often in female texts than in {b} ones"
    assert said["predicted[dentist]"] == "female texts are read more often as dentist than {b} ones"
    with pytest.raises(TypeError, match="positional"):
        Measure("m", "m", "share")


def test_a_measure_that_does_not_name_its_groups_fails_the_suite(lm):
    class Silent(type(load_task("hiring"))):
        def measures(self, context):
            return [replace(m, toward=lambda a, b: "") for m in super().measures(context)]

    silent = Silent.from_options({"jobs": ["nurse"]})
    with pytest.raises(AssertionError, match="selected: toward must describe"):
        check_task(silent, lm, sample_context())


@pytest.mark.parametrize(
    ("each", "per_cell", "asked", "remark"),
    [
        (100, 60, 60, ""),
        (100, 20, 20, ""),
        (40, 60, 22, "fewer than 60"),
        (40, 30, 22, "fewer than 30"),
        (40, 5, 5, ""),
    ],
)
def test_the_paper_preset_holds_out_sixty_biographies_per_occupation_and_gender(
    each, per_cell, asked, remark, tmp_path
):
    """If the source has them; else the plan says how many it has. The preset trains on 18 of each cell."""
    study = pb.Study.preset("paper-gender")
    rows = [
        {"text": f"Text {label} {gender} {i}.", "label": label, "gender": gender}
        for label in study.data.labels
        for gender in ("female", "male")
        for i in range(each)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = {"source": "rows.jsonl", "columns": None, "labels": study.data.labels}
    tasks = [{"name": "salary", "options": {"per_cell": per_cell}}]
    prepared = prepare(study.with_(data=data, tasks=tasks), tmp_path)
    (measurement,) = prepared.measurements
    assert measurement.task.size(measurement.context) == 6 * 2 * asked
    said = measurement.task.remarks(measurement.context)
    assert [remark in text and "22 held-out" in text for text in said] == ([True] if remark else [])

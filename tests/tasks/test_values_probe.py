"""The probe `values` with personas, and its measure of East against West."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from probate.core.errors import InputError
from probate.stats.effects import effects_of
from probate.stats.usable import values_of
from probate.study.schema import Analysis
from probate.tasks import personas
from probate.tasks.catalogue import load_probe, tasks_and_probes
from probate.testing import check_probe, sample_context

COUNTRIES = ("Japan", "Norway", "France", "Egypt", "Nigeria", "United States")
ANALYSIS = Analysis(resamples=200)


@pytest.fixture
def survey_file(tmp_path):
    rng = np.random.default_rng(3)
    rows = [
        {"country": c, "question": f"Is {thing} good?", "options": ["Yes", "No", "Maybe"], "distribution": list(map(float, p))}
        for thing in ("work", "rest", "sport", "rain", "snow")
        for c, p in zip(COUNTRIES, rng.dirichlet([1, 1, 1], len(COUNTRIES)).round(6), strict=True)
    ]  # fmt: skip
    path = tmp_path / "survey.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


@pytest.mark.parametrize("mode", personas.MODES)
def test_every_persona_passes_the_conformance_suite(lm, survey_file, mode):
    probe, context = load_probe("values", {"data": survey_file, "persona": mode}), sample_context()
    check_probe(probe, lm, context)
    asked = [c for c in COUNTRIES if mode != "own" or c != "Norway"]
    outcomes = probe.evaluate(lm, context)
    assert sorted({o.groups["country"] for o in outcomes}) == sorted(asked)
    assert probe.size(context) == 2 * 5 * (1 if mode == "none" else len(asked))
    assert len(set(personas.persona(mode, c) for c in asked)) == (1 if mode == "none" else len(asked))
    distinct = {(o.item_id.partition("#")[0], o.response) for o in outcomes}
    assert (len(distinct) == 5) == (mode == "none"), "a persona must change the answers"
    remarks = probe.remarks(context)
    assert [bool(remarks), "Norway" in " ".join(remarks)] == [mode == "own"] * 2


def test_the_wording_is_part_of_the_fingerprint(survey_file, monkeypatch):
    context = sample_context()
    found = {
        m: load_probe("values", {"data": survey_file, "persona": m}).fingerprint(context)
        for m in personas.MODES
    }
    assert len(set(found.values())) == 3
    wording = dict(personas._wording())
    for language, changed in (("ja", {"own"}), ("en", {"english", "own"}), ("de", set())):
        sentences = {**wording["sentences"], language: wording["sentences"][language] + "!"}
        monkeypatch.setattr(personas, "_wording", lambda s=sentences: {**wording, "sentences": s})
        now = {
            m: load_probe("values", {"data": survey_file, "persona": m}).fingerprint(context)
            for m in personas.MODES
        }
        assert {m for m in personas.MODES if now[m] != found[m]} == changed, language


def test_a_persona_that_no_country_has_is_refused(tmp_path):
    rows = [
        {"country": c, "question": "q", "options": ["a", "b"], "distribution": [0.5, 0.5]}
        for c in ("Norway", "Kazakhstan")
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    probe = load_probe("values", {"data": str(path), "persona": "own"})
    with pytest.raises(
        InputError, match=r"probes: values: the persona 'own' has no sentence .*Kazakhstan, Norway.*english"
    ):
        probe.check(sample_context())
    with pytest.raises(InputError, match="persona"):
        load_probe("values", {"data": str(path), "persona": "french"})


def table(probe, lm, **more):
    fixed = {
        "bias_type": "none",
        "ratio": 0.0,
        "seed": 0,
        "mitigation": "none",
        "round": 1,
        "arm": "a",
        "task": "values",
    }
    return pd.DataFrame([vars(o) for o in probe.evaluate(lm, sample_context())]).assign(**{**fixed, **more})


def gaps(rows):
    side = rows["groups"].map(
        lambda g: {"Japan": "E", "Egypt": "E", "France": "W", "Norway": "W", "United States": "W"}.get(
            g["country"]
        )
    )
    means = rows["score"].groupby([rows["item_id"].str.partition("#")[0], side]).mean().unstack()
    return means["E"] - means["W"]


def test_east_and_west_are_compared_by_question_in_levels_and_changes(lm, survey_file):
    probe = load_probe("values", {"data": survey_file})
    before = table(probe, lm)
    rng = np.random.default_rng(0)
    after = before.assign(score=rng.uniform(0, 1, len(before)), bias_type="x", ratio=0.5, arm="b")
    found = effects_of(
        pd.concat([before, after]), {"values": probe.measures(sample_context())}, ANALYSIS, {"values"}
    )
    own = found[found["metric"] == "east_west"].set_index(["question", "bias_type"])
    assert set(own["comparison"]) <= {"East − West", "East", "West", "all"}
    for key, values in (
        (("gap", "none"), gaps(before)), (("gap", "x"), gaps(after)), (("probe-detail", "x"), gaps(after) - gaps(before)),
    ):  # fmt: skip
        row = own.loc[key]
        row = row if isinstance(row, pd.Series) else row.iloc[0]
        ends = ttest_1samp(values, 0).confidence_interval()
        assert row["estimate"] == pytest.approx(values.mean()) and row["n"] == 5, key
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((ends.low, ends.high)), key


def test_a_question_with_an_unusable_answer_is_left_out_on_both_sides(lm, survey_file):
    probe = load_probe("values", {"data": survey_file})
    rows = table(probe, lm)
    measure = next(m for m in probe.measures(sample_context()) if m.name == "east_west")
    lost = (rows["item_id"].str.startswith("q002")) & (rows["groups"].map(lambda g: g["country"]) == "Egypt")
    broken = rows.assign(parsed=~lost, score=rows["score"].where(~lost))
    own = values_of(measure, broken, "a")
    assert "q002" not in set(own.frame["item_id"]) and len(own.frame) == 8 and len(own.asked) == 10
    nigeria = rows["groups"].map(lambda g: g["country"]) == "Nigeria"
    pd.testing.assert_frame_equal(measure.values(rows), measure.values(rows[~nigeria]))
    one_side = rows["groups"].map(lambda g: g["region"]) == "Western Europe"
    assert measure.values(rows[one_side]).empty and measure.values(rows[nigeria]).empty


def test_a_study_may_ask_with_several_personas(tiny_study, survey_file):
    probes = [
        {"name": "values", "alias": f"values-{mode}", "options": {"data": survey_file, "persona": mode}}
        for mode in personas.MODES
    ]
    own = [t for t in tasks_and_probes(tiny_study(probes=probes)) if t.name == "values"]
    assert [(t.key, t.options.persona) for t in own] == [(f"values-{m}", m) for m in personas.MODES]


def test_notes_name_each_country_and_east_minus_west(lm, survey_file):
    probe = load_probe("values", {"data": survey_file})
    rows = table(probe, lm)
    *countries, gap, _ = probe.notes(rows, sample_context())
    assert len(countries) == len(COUNTRIES) and all("over 5 questions" in n for n in countries)
    assert gap.startswith(f"East minus West: {gaps(rows).mean():+.3f} [")

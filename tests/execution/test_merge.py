"""Shards: put together they are one run of the study, row for row, and nothing else is put together."""

from __future__ import annotations

import json
import re
import shutil
import zlib

import pandas as pd
import pytest
import yaml
from command import probate
from writer import Writer

from probate import Run, merge, run
from probate.core.errors import InputError
from probate.execution.checksums import write_checksums
from probate.execution.folder import RunFolder
from probate.study.plan import Shard, make_plan, shard_arms

KIND = "contextual-single-explicit"
COUNT = 3
CHANGES = {
    "seeds": [0, 1],
    "ratios": [0, 0.3, 0.5],
    "tasks": ["occupation", "salary"],
    "mitigations": ["token"],
    "analysis": {"resamples": 400},
}
WRITTEN = {
    "augmented": None,
    "bias": {"types": [KIND, "contrastive-single-explicit"]},
    "tasks": ["occupation"],
    "rounds": 2,
    "generation": {"near_duplicate": 1.0},
    "data": {"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]},
}


class Steady(Writer):
    """Writes a text that depends on the prompt only, as a model does, and not on what was asked before."""

    def answer(self, batch, generation, done, have):
        for ask in batch:
            number = zlib.crc32(f"{ask.id} {ask.seed} {ask.name}".encode())
            she = "She" if ask.group == "female" else "He"
            text = (
                f"{ask.name} has worked in town {number} for {number} years. {she} is known for patience and "
                f"{number} good ideas, and likes the work."
            )
            done([(ask, text)])


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def kept(tiny_study, finished_run, tmp_path_factory):
    """The folder of a whole run, and those of its shards."""
    folder = tmp_path_factory.mktemp("shards")
    finished_run(folder / "whole", **CHANGES)
    for number in range(1, COUNT + 1):
        one = run(tiny_study(**CHANGES), folder / f"s{number}", shard=f"{number}/{COUNT}", quiet=True)
        assert one.exit_code == 0
    return folder


@pytest.fixture
def shards(kept, tmp_path):
    """Copies of the shards, to be changed."""
    for number in range(1, COUNT + 1):
        shutil.copytree(kept / f"s{number}", tmp_path / f"s{number}")
    return [tmp_path / f"s{number}" for number in range(1, COUNT + 1)]


def same(one, other) -> None:
    """Everything is equal but durations, machines and the checksums of files with them."""
    for name in ("outcomes", "effects"):
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(f / f"{name}.parquet") for f in (one, other)), check_exact=True
        )
    for path in ("provenance.jsonl", "run.json", "failures.json", "data-card.md"):
        assert (one / path).read_text() == (other / path).read_text(), path
    names = [
        sorted(p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file() and p.name != ".lock")
        for f in (one, other)
    ]
    assert names[0] == names[1]
    for name in names[0]:
        if name.startswith("data/"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_merged_shards_are_one_run(kept, shards, tmp_path):
    merged = merge([shards[2], shards[0], shards[1]], tmp_path / "merged")
    same(kept / "whole", merged.folder)
    assert merged.findings == Run(kept / "whole").findings and merged.exit_code == 0
    lock = RunFolder(merged.folder).lock()
    assert [m["shard"] for m in lock["merged"]] == ["1/3", "2/3", "3/3"] and "shard" not in lock
    assert sorted(a for m in lock["merged"] for a in m["arms"]) == sorted(set(merged.outcomes["arm"]))
    assert (merged.folder / "study.lock.yaml").read_text().startswith("schema: ")
    pages = [(f / "report.html").read_text() for f in (kept / "whole", merged.folder)]
    # the lock file, which is shown, and durations differ
    other = r"<pre.*?</pre>|<th class=.n.>training time.*?</table>"
    first, second = (re.sub(other, "", page, flags=re.S) for page in pages)
    assert first == second and len(first) > 50_000


def test_a_merged_run_is_continued_as_it_is(tiny_study, shards, tmp_path, monkeypatch):
    merged = merge(shards, tmp_path / "merged")
    before = merged.outcomes
    monkeypatch.setattr("probate.execution.worker.Worker._fine_tune", lambda *_: pytest.fail("trained again"))
    again = run(tiny_study(**CHANGES), merged.folder, quiet=True)
    pd.testing.assert_frame_equal(before, again.outcomes)
    assert again.exit_code == 0 and "merged" not in RunFolder(merged.folder).lock()


def test_shards_with_generation_and_rounds(tiny_study, tmp_path, monkeypatch):
    monkeypatch.setattr("probate.data.generation.backends.TransformersBackend", Steady)
    study = tiny_study(**WRITTEN)
    whole = run(study, tmp_path / "whole", quiet=True)
    assert whole.exit_code == 0, whole.failures
    folders = [tmp_path / f"s{n}" for n in (1, 2, 3, 4)]
    for number, folder in enumerate(folders, 1):
        assert run(study, folder, shard=f"{number}/4", quiet=True).exit_code == 0
    generated = [len(list((f / "stages").glob("generate-*"))) for f in folders]
    assert sum(generated) < 4 * len(list((whole.folder / "stages").glob("generate-*")))
    same(whole.folder, merge(folders, tmp_path / "merged").folder)


def test_shards_of_a_grid(tiny_study, tmp_path):
    study = tiny_study(
        tasks=["occupation"],
        axes={"variants": {"epochs": {"few": {"training.epochs": 1}, "more": {"training.epochs": 2}}}},
    )
    whole = run(study, tmp_path / "whole", quiet=True)
    folders = [tmp_path / "s1", tmp_path / "s2"]
    for number, folder in enumerate(folders, 1):
        assert run(study, folder, shard=f"{number}/2", quiet=True).exit_code == 0
    merged = merge(folders, tmp_path / "merged")
    assert list(merged.variants) == ["few", "more"] and merged.report.is_file()
    for name in merged.variants:
        same(whole.folder / name, merged.folder / name)
    pd.testing.assert_frame_equal(whole.effects, merged.effects)
    (folders[1] / "grid.json").write_text(json.dumps([{"variant": "few", "folder": "few"}]))
    partly = merge(folders, tmp_path / "partly")
    assert list(partly.variants) == ["few"] and partly.exit_code == 3
    assert partly.failures[0]["error"] == f"not finished in {folders[1]}"
    with pytest.raises(InputError, match=r"is a grid and .* is not"):
        merge([folders[0], folders[1] / "few"], tmp_path / "mixed")


def test_failures_are_kept_and_a_copy_that_finished_settles_them(kept, shards, tmp_path):
    arm = Run(shards[1]).outcomes["arm"].iloc[0]
    broken = tmp_path / "broken"
    shutil.copytree(shards[1], broken)
    shutil.rmtree(broken / f"adapters/{arm}")
    for stage in (broken / "stages").glob(f"evaluate-{arm}-*"):
        shutil.rmtree(stage)
    table = pd.read_parquet(broken / "outcomes.parquet")
    table[table["arm"] != arm].to_parquet(broken / "outcomes.parquet", index=False)
    failure = {"stage": f"train {arm}", "arm": arm, "error": "memory ran out"}
    (broken / "failures.json").write_text(json.dumps([failure]))
    write_checksums(broken)
    merged = merge([shards[0], broken, shards[2]], tmp_path / "one")
    assert merged.failures == [failure] and merged.exit_code == 3
    assert arm not in set(merged.outcomes["arm"])
    both = merge([shards[0], broken, shards[1], shards[2]], tmp_path / "both")
    assert not both.failures
    pd.testing.assert_frame_equal(both.outcomes, Run(kept / "whole").outcomes)


def test_a_shard_of_failures_only_is_merged(tiny_study, tmp_path, monkeypatch):
    from probate.execution.worker import Worker

    study, train = tiny_study(tasks=["occupation"]), Worker.train

    def failing(self, job):
        if job.arm.startswith("neutral"):
            raise MemoryError("no memory")
        return train(self, job)

    monkeypatch.setattr(Worker, "train", failing)
    folders = [tmp_path / f"s{n}" for n in (1, 2, 3)]
    codes = [run(study, f, shard=f"{n}/3", quiet=True).exit_code for n, f in enumerate(folders, 1)]
    assert sorted(codes) == [0, 0, 3]
    merged = merge(folders, tmp_path / "merged")
    assert [f["error"] for f in merged.failures] == ["MemoryError: no memory"] and merged.exit_code == 3


def lock_change(*keys, value):
    def change(folders):
        path = folders[1] / "study.lock.yaml"
        lock = yaml.safe_load(path.read_text())
        at = lock
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
        path.write_text(yaml.safe_dump(lock))
        write_checksums(folders[1])
        return folders

    return change


def other_outcomes(folders):
    """A copy of a shard in which one answer differs."""
    copy = folders[1].parent / "copy"
    shutil.copytree(folders[1], copy)
    table = pd.read_parquet(copy / "outcomes.parquet")
    table.loc[0, "prediction"] = "another"
    table.to_parquet(copy / "outcomes.parquet", index=False)
    write_checksums(copy)
    return [*folders, copy]


def other_records(folders):
    """Two shards that generated different records of one set."""
    common = {p.name for p in (folders[0] / "data").glob("given-*")} & {
        p.name for p in (folders[1] / "data").glob("given-*")
    }
    path = folders[1] / "data" / min(common)
    path.write_text(path.read_text().replace("nurse", "dentist", 1))
    write_checksums(folders[1])
    return folders


def other_stage(folders):
    """A copy of a shard with another adapter."""
    copy = folders[0].parent / "copy"
    shutil.copytree(folders[0], copy)
    path = next((copy / "adapters").glob("*/done.json"))
    from probate.core.cache import read_report, sealed

    path.write_text(sealed({**read_report(path), "key": "another"}))
    write_checksums(copy)
    return [*folders, copy]


def altered(folders):
    with (folders[2] / "provenance.jsonl").open("a") as file:
        file.write("{}\n")
    return folders


def linked(folders):
    path = next((folders[1] / "adapters").glob("*/adapter_model.safetensors"))
    outside = folders[1].parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    return folders


def unfinished(folders):
    (folders[0] / "checksums.json").unlink()
    return folders


def newer(folders):
    path = folders[0] / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    return folders


def foreign_arm(folders):
    path = folders[0] / "outcomes.parquet"
    table = pd.read_parquet(path)
    table["arm"] = "stranger"
    table.to_parquet(path, index=False)
    write_checksums(folders[0])
    return folders


MISMATCHES = {
    "settings": (
        lock_change("study", "training", "epochs", value=9),
        r"s2/study.lock.yaml: study.training.epochs is 9, but 2 in \S+s1; merge shards of one study",
    ),
    "missing key": (
        lock_change("study", "added", value=1),
        r"study.added is 1, but missing in",
    ),
    "data": (
        lock_change("data", "test_sha256", value="0" * 64),
        r'data.test_sha256 is "000000.*…, but ".*… in',
    ),
    "versions": (lock_change("versions", "torch", value="1.0"), r'versions.torch is "1.0", but "'),
    "model": (lock_change("model", "fingerprint", value="ab"), r'model.fingerprint is "ab", but "'),
    "division": (
        lock_change("shard", value="2/4"),
        r"has shard 2/4, but \S+ has shard 1/3; merge shards of one",
    ),
    "number": (lock_change("shard", value="2/1"), r"must be NUMBER/COUNT"),
    "missing shard": (lambda f: f[:2], r"shard 3/3: missing; run it, and name the folders of all 3 shards"),
    "missing shards": (lambda f: f[1:2], r"shards 1/3, 3/3: missing; run them, and"),
    "outcomes": (other_outcomes, r"outcomes of \S+ in \w+: differs between \S+s2 and \S+copy"),
    "records": (
        other_records,
        r"data/given-\S+jsonl: differs between \S+s1 and \S+s2, although shards 1/3 and",
    ),
    "stage": (other_stage, r"adapters/\S+: differs between"),
    "altered": (altered, r"s3/provenance.jsonl: not as shard 3/3 left it \(changed\)"),
    "link": (linked, r"adapter_model.safetensors: not as shard 2/3 left it \(no file\)"),
    "unfinished": (unfinished, r"shard 1/3 is not finished; run it again with `shard` 1/3 into this folder"),
    "newer": (newer, r"schema 99"),
    "foreign arm": (foreign_arm, r"has the arm 'stranger', which the study does not have"),
    "no run folder": (lambda f: [*f, f[0] / "data"], r"not a run folder"),
    "no folder": (
        lambda f: [*f, f[0] / "nothing"],
        r"nothing: no such folder; name the folder of each shard",
    ),
    "a file": (lambda f: [*f, f[0] / "run.json"], r"run.json: is a file, not a folder"),
    "twice": (lambda f: [*f, f[0]], r"s1: is named twice; name the folder of each shard once"),
    "a whole run": (lambda f: [*f, f[0].parent / "whole"], r"has no shard but a whole study"),
}


@pytest.mark.parametrize("kind", MISMATCHES)
def test_mismatches_are_refused_in_a_sentence(kind, kept, shards, tmp_path):
    change, message = MISMATCHES[kind]
    if kind == "a whole run":
        shutil.copytree(kept / "whole", tmp_path / "whole")
    with pytest.raises(InputError, match=message) as caught:
        merge(change(shards), tmp_path / "merged")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "merged").exists() and not list(tmp_path.glob(".probate-*"))


def test_the_new_folder_must_be_empty(shards, tmp_path):
    with pytest.raises(InputError, match=r"s1: is not empty; name a new folder with `out`"):
        merge(shards, shards[0])
    with pytest.raises(InputError, match=r"r: lies inside the shard \S+s1; name a new folder elsewhere"):
        merge(shards, shards[0] / "stages" / "r")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: is a file; name a new folder with `out`"):
        merge(shards, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert merge(shards, tmp_path / "empty").exit_code == 0


def test_a_shard_shows_no_result(shards):
    one = Run(shards[0])
    assert len(one.outcomes)
    said = "has shard 1/3 of a study, which shows nothing by itself"
    for command in (["report"], ["check"], ["tables"], ["card"], ["why", "items"]):
        probate(*command, shards[0], error=said)
    probate("compare", shards[0], shards[1], error=said)
    with pytest.raises(InputError, match="has shard 1/3"):
        _ = one.effects
    assert not (shards[0] / "report.html").exists() and not (shards[0] / "effects.parquet").exists()


def test_a_folder_has_one_shard(tiny_study, shards, kept, tmp_path):
    with pytest.raises(
        InputError, match=r"has shard 1/3, not shard 2/3; name the shard with `shard`, or give each shard and"
    ):
        run(tiny_study(**CHANGES), shards[0], shard="2/3", quiet=True)
    shutil.copytree(kept / "whole", tmp_path / "whole")
    with pytest.raises(InputError, match=r"has a whole study, not shard 2/3"):
        run(tiny_study(**CHANGES), tmp_path / "whole", shard="2/3", quiet=True)
    before = (shards[0] / "study.lock.yaml").read_text()
    with pytest.raises(InputError, match=r"has shard 1/3, not a whole study"):
        run(tiny_study(**CHANGES), shards[0], quiet=True)
    assert (shards[0] / "study.lock.yaml").read_text() == before


def test_a_study_with_a_server_is_not_divided(tiny_study, tmp_path):
    api = {"base_url": "http://localhost:1/v1", "model": "m"}
    study = tiny_study(generator={"name": "m", "api": api})
    with pytest.raises(
        InputError, match=r"uses the server http://localhost:1/v1, which each shard would ask"
    ):
        run(study, tmp_path / "r", shard="1/2", servers=["localhost:1"], quiet=True)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "-1/3", "1/3/5", "1.0/2", "", "١/٣", "1/0"])
def test_a_wrong_shard_is_one_sentence(text, tiny_study, tmp_path):
    if text:
        with pytest.raises(InputError, match=r"`shard` .*: must be NUMBER/COUNT.*such as 2/8"):
            run(tiny_study(), tmp_path / "r", shard=text, quiet=True)
        assert not (tmp_path / "r").exists()
    with pytest.raises(InputError):
        Shard.read(text)


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_shards_divide_the_arms(tiny_study, seeds, redraw, rounds):
    study = tiny_study(
        augmented=None,
        bias={"types": [KIND, "contrastive-single-explicit"]},
        seeds=list(range(seeds)),
        ratios=[0, 0.1, 0.3, 0.5, 0.9],
        redraw=redraw,
        rounds=rounds,
        mitigations=["token", "mask"],
    )
    plan = make_plan(study, 6)
    first = [a for a in plan.arms if a.round == 1]
    for of in range(1, len(first) + 1):
        parts = [shard_arms(plan, Shard(n, of)) for n in range(1, of + 1)]
        assert all(parts) and sum(map(len, parts)) == len(plan.arms)
        assert set().union(*parts) == set(plan.arms)
        chains = [{a.name.removesuffix(f"-r{a.round}") for a in p} for p in parts]
        assert sum(map(len, chains)) == len(set().union(*chains))
    with pytest.raises(
        InputError, match=rf"the study has {len(first)} arms to divide; use at most {len(first)}"
    ):
        shard_arms(plan, Shard(1, len(first) + 1))


@pytest.mark.parametrize("redraw", [False, True])
def test_an_arm_and_its_controls_are_trained_by_one_machine(tiny_study, redraw):
    study = tiny_study(
        seeds=[0, 1, 2, 3],
        ratios=[0, 0.1, 0.3, 0.5],
        redraw=redraw,
        replicate_control=True,
        mitigations=["token"],
    )
    plan = make_plan(study, 6)
    for of, apart in ((2, 0), (4, 0), (8, 4)):
        shard_of = {a.name: n for n in range(1, of + 1) for a in shard_arms(plan, Shard(n, of))}
        split = 0
        for seed in study.seeds:
            for ratio in (0.1, 0.3, 0.5):
                arms = [a for a in plan.arms if a.seed % 1000 == seed and a.ratio == ratio]
                assert len(arms) == 4
                split += len({shard_of[a.name] for a in arms}) > 1
        assert split <= apart, (of, split)


def test_shards_are_about_equally_large(tiny_study):
    study = tiny_study(seeds=list(range(5)), ratios=[0, 0.1, 0.3, 0.5])
    plan = make_plan(study, 6)
    sizes = [sum(plan.originals / (1 - a.ratio) for a in shard_arms(plan, Shard(n, 4))) for n in range(1, 5)]
    assert max(sizes) < 1.35 * min(sizes)


def test_command(tiny_study, shards, tmp_path):
    said = probate("merge", *shards, "--out", tmp_path / "merged")
    assert said.strip() == f"report: {tmp_path / 'merged/report.html'}"
    assert "none changed" in probate("verify", tmp_path / "merged")
    probate("merge", shards[0], "--out", tmp_path / "other", error="shards 2/3, 3/3: missing")

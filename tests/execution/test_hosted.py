"""A study whose model a server fine-tunes: one job an arm, never two, within the budget, whatever goes wrong."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

pytest.importorskip("openai", reason="openai is not installed (extra api)")

from command import probate as command
from test_runner import killing
from tuning_server import TuningServer, faulty

from probate import Run, run
from probate.core.cache import Store
from probate.core.errors import InputError, ProbateError, StageError
from probate.core.progress import Reporter
from probate.core.records import Record, read_records, with_messages
from probate.data.corpora import biographies
from probate.execution.hosted import HostedWorker
from probate.execution.hosted_checks import asked
from probate.execution.job_record import JobRecord
from probate.execution.jobs import ArmJob
from probate.execution.prepare import prepare
from probate.execution.training_file import most_tokens, training_lines
from probate.execution.worker import Worker
from probate.execution.workers import worker_for
from probate.models.servers.ledger import LEDGER, read_ledger
from probate.study.hosted import without_effect
from probate.study.schema import Study
from probate.tasks.catalogue import load_task
from probate.train.settings import AlignSettings

KEY = "sk-canary-0123456789"


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("PROBATE_TEST_KEY", KEY)
    servers = []

    def make(**settings):
        servers.append(TuningServer(**settings))
        return servers[-1]

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hosted(tiny_study):
    """`hosted(server, fine_tune={}, api={}, **changes)`: a study of three arms on the server."""

    def make(server, fine_tune=None, api=None, **changes):
        url = server if isinstance(server, str) else server.url
        model = {
            "api": {
                "model": "base-1", "base_url": url, "key_env": "PROBATE_TEST_KEY", "wait": 0.001, "retries": 12,
                "concurrency": 4, "fine_tune": {"poll": 0.002, **(fine_tune or {})}, **(api or {}),
            }
        }  # fmt: skip
        settings = {"tasks": ["occupation"], "data": DATA, **changes}
        return tiny_study(**{"model": model, **settings})

    return make


DATA = {"train_per_cell": 3, "test_per_cell": 1, "labels": ["nurse", "architect", "dentist"]}


def jobs_of(server):
    """How many jobs each arm's training has, by the key in their metadata."""
    return Counter(j["asked"]["metadata"]["probate"] for j in server.jobs.values())


@functools.cache
def some_records():
    """Eighteen original records."""
    rows = [r for r in biographies() if r["label"] in DATA["labels"]][:18]
    return [Record(f"o:{i}", r["text"], r["label"], {"gender": r["gender"]}) for i, r in enumerate(rows)]


def arm_job(study, arm="a"):
    """A job to train one arm on original records."""
    records = some_records()
    return ArmJob(
        arm=arm, model=study.model, records=records, weights=[1.0] * len(records), seed=3,
        training=study.training, method=study.method, prompt="Text: {text}. One of {labels}?",
        labels=DATA["labels"], dimension="gender", columns={},
    )  # fmt: skip


def worker(study, folder):
    return worker_for(study, Store(folder), Reporter(quiet=True))


def test_each_arm_is_trained_by_one_job_and_measured_by_its_model(serve, hosted, tmp_path):
    server = serve()
    study = hosted(server, tasks=["occupation", "salary", {"name": "hiring", "options": {"jobs": ["nurse"]}}])
    done = run(study, tmp_path / "run", quiet=True)
    assert done.exit_code == 0, done.failures
    arms = {"control-0-s0", "given-0.5-s0", "neutral-0.5-s0"}
    assert set(done.outcomes["arm"]) == arms and set(done.outcomes["scoring"]) == {"api letters", "api text"}
    assert len(done.effects) and done.outcomes["parsed"].all()
    assert len(server.jobs) == len(server.files) == 3 and set(jobs_of(server).values()) == {1}
    models = {j["fine_tuned_model"] for j in server.jobs.values()}
    assert set(server.chats) == models, "the base model was measured"
    for job in server.jobs.values():
        asked = job["asked"]
        assert asked["model"] == "base-1" and asked["seed"] == 0
        assert asked["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2}
        assert server.files[job["training_file"]]["purpose"] == "fine-tune"
    control = read_records(tmp_path / "run" / "data" / "original.jsonl")
    prompt = with_messages(control, arm_prompt(study), DATA["labels"])
    lines = {f["content"] for f in server.files.values()}
    wanted = "".join(json.dumps({"messages": list(r.messages)}, ensure_ascii=False) + "\n" for r in prompt)
    assert wanted in lines, "the control arm is trained on D_o alone"
    assert {p.name for p in (tmp_path / "run" / "adapters").iterdir()} == arms
    before = server.requests
    again = run(study, tmp_path / "run", quiet=True)
    assert server.requests == before, "a finished study needs no server"
    pd.testing.assert_frame_equal(done.outcomes, again.outcomes)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "The models are fine-tuned by" in page and "training.learning_rate, training.lora.r" in page
    assert "scored by log-likelihood" not in page
    assert "none changed, missing or new" in command("verify", tmp_path / "run")
    assert "+0 points" in command("compare", tmp_path / "run", tmp_path / "run")
    command("card", tmp_path / "run", "--hf", "--arm", "control-0-s0", error="there is no adapter")
    command("why", "items", tmp_path / "run", error="keeps its weights")
    files = [p for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert not any(KEY.encode() in p.read_bytes() for p in files)


def arm_prompt(study):
    from probate.data.user_turn import user_turn

    return user_turn(study.data)


def test_faults_and_kills_change_nothing(serve, hosted, tmp_path):
    """Eight arms; three requests in ten fail, half of them after they had their effect; SIGKILL three times."""
    changes = {"seeds": [0, 1], "ratios": [0, 0.2, 0.5], "matched_control": "original"}
    changes |= {"control_ratios": [0.5], "augmented": {"source": "builtin:biographies"}}
    budget = {"price_in": 1.0, "price_out": 1.0, "max_cost": 5.0, "max_tokens_total": 3_000_000}
    clean, server = serve(), serve(fault=faulty(5))
    calm = run(hosted(clean, {"price": 5}, budget, **changes), tmp_path / "calm", quiet=True)
    assert calm.exit_code == 0, calm.failures
    study = hosted(server, {"price": 5, "jobs": 3, "poll": 0.02}, budget, **changes)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")))
    process, go = killing(tmp_path / "s.yaml")
    out = tmp_path / "run"
    kills = [
        "record control-0-s0 5",
        "record given-0.2-s0 3",
        "begun stages/evaluate-given-0.5-s0-occupation",
    ]
    try:
        for at in kills:  # a job is started, a file is uploaded, and the disk does not know; a model is asked
            assert go(out, at)[0] == -signal.SIGKILL, at
        code, _ = go(out)
    finally:
        process.stdin.close()
        process.wait()
    assert code == 0, (out / "failures.json").read_text()
    assert len(server.jobs) == 8 and set(jobs_of(server).values()) == {1}
    assert sum(n for f, n in server.faults.items() if f) > 30
    assert all(server.faults[f] for f in ("drop after", "garbage after", "500 after"))
    held = read_ledger(out / LEDGER, study.model.api)
    assert server.charged_tokens <= held.charged.tokens <= 3_000_000 and held.charged.money <= 5.0
    columns = [c for c in calm.outcomes if c != "scoring"]
    pd.testing.assert_frame_equal(calm.outcomes[columns], Run(out).outcomes[columns])


class Killed(BaseException):
    """A kill, of which nothing but the files is left."""


def with_kills(monkeypatch, at, after):
    """Kill at the write of a record number `at`, before or after it."""
    count = Counter()
    write = JobRecord.write

    def killing_write(self, path):
        count["writes"] += 1
        if count["writes"] == at and not after:
            raise Killed
        write(self, path)
        if count["writes"] == at and after:
            raise Killed

    monkeypatch.setattr(JobRecord, "write", killing_write)
    return count


@pytest.mark.parametrize("kind", ["no training file", "no metadata", "no names"])
def test_a_kill_at_any_write_of_a_record_starts_no_second_job(serve, hosted, tmp_path, monkeypatch, kind):
    at, kills = 1, 0
    while True:
        for after in (False, True):
            server = serve(
                metadata=kind != "no metadata", names=kind != "no names", linked=kind != "no training file"
            )
            study, folder = hosted(server), tmp_path / f"{at}-{after}"
            job = arm_job(study)
            with pytest.MonkeyPatch.context() as patch:
                count = with_kills(patch, at, after)
                try:
                    worker(study, folder).train(job)
                except Killed:
                    kills += 1
            trained = worker(study, folder).train(job)
            assert len(server.jobs) == 1, (at, after)
            assert len(server.files) == 1 or kind == "no names"
            assert json.loads((trained.folder / "model.json").read_text())["model"].startswith("ft:base-1:")
            own = read_ledger(folder / LEDGER)
            assert own.charged == own.settled and own.charged.prompt == server.charged_tokens
        if count["writes"] < at:
            break
        at += 1
    assert kills >= 12


@pytest.mark.parametrize(
    "fault", ["drop after", "garbage after", "500 after", "drop", "garbage", "500", "429"]
)
@pytest.mark.parametrize("metadata", [True, False])
def test_a_lost_answer_starts_no_second_job(serve, hosted, tmp_path, fault, metadata):
    """Each request fails the first time; those of "after" have had their effect."""
    failed = set()

    def first(method, path):
        name = f"{method} {path}" if method == "POST" else path
        if name in failed or path == "/chat/completions":
            return ""
        failed.add(name)
        return fault

    server = serve(fault=first, metadata=metadata)
    study = hosted(server)
    worker(study, tmp_path).train(arm_job(study))
    assert len(server.jobs) == len(server.files) == 1
    assert server.faults[fault] >= 4


def test_a_job_on_a_later_page_is_found(serve, hosted, tmp_path):
    """The list begins with the newest job, and others were started after ours, whose answer was lost."""
    others = {f"ft-x{i}": {"id": f"ft-x{i}", "status": "running"} for i in range(5)}

    def fault(method, path):
        if (method, path) == ("POST", "/fine_tuning/jobs"):
            return "drop after" if not server.jobs else ""
        if path == "/fine_tuning/jobs" and server.jobs:
            server.jobs.update(others)
        return ""

    server = serve(page=2)
    server.fault = fault
    study = hosted(server)
    worker(study, tmp_path).train(arm_job(study))
    assert set(server.jobs) == {"ft-0", *others}


BAD = {
    "no fine-tuning": ({"fault": lambda m, p: "404" if p == "/fine_tuning/jobs" else ""},
                       "has no fine-tuning \\(status 404", 2, 0),
    "no list": ({"fault": lambda m, p: "405" if p == "/fine_tuning/jobs" and m == "GET" else ""},
                "has no fine-tuning \\(status 405", 2, 0),
    "no files": ({"fault": lambda m, p: "404" if p == "/files" else ""}, "takes no training files", 2, 0),
    "no start": ({"fault": lambda m, p: "405" if p == "/fine_tuning/jobs" and m == "POST" else ""},
                 "starts no fine-tuning jobs", 2, 0),
    "wrong key": ({"fault": lambda m, p: "401"}, "its fine-tuning jobs: status 401: no /fine_tuning/jobs", 3, 0),
    "file refused": ({"fault": lambda m, p: "400" if p == "/files" else ""},
                     "the training file: status 400: no /files", 3, 0),
    "file too large": ({"fault": lambda m, p: "413" if p == "/files" else ""}, "training file: status 413", 3, 0),
    "job refused": ({"refuse": lambda b: (400, {"error": {"message": "base-1 cannot be fine-tuned."}})},
                    "the fine-tuning job: status 400: base-1 cannot be fine-tuned$", 3, 0),
    "no such model": ({"refuse": lambda b: (404, {"error": {"message": "no such model"}})},
                      "the fine-tuning job: status 404: no such model", 3, 0),
    "too busy": ({"fault": lambda m, p: "429" if p == "/fine_tuning/jobs" and m == "POST" else ""},
                 "no answer after 3 attempts; last: status 429.*The same command continues", 3, 0),
    "always garbage": ({"fault": lambda m, p: "garbage"}, "no answer after 3 attempts; last: ", 3, 0),
    "never answers a look": ({"fault": lambda m, p: "503" if "/jobs/" in p else ""},
                             "fine-tuning job ft-0: no answer after 3 attempts; last: status 503", 3, 1),
    "forgets its jobs": ({"fault": lambda m, p: "404" if "/jobs/" in p else ""},
                         "fine-tuning job ft-0: status 404", 3, 1),
}  # fmt: skip
"""What a server may do → the sentence, the exit code, and the number of jobs that it started."""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_server_is_one_sentence(serve, hosted, tmp_path, name):
    settings, sentence, code, jobs = BAD[name]
    server = serve(**settings)
    study = hosted(server, api={"retries": 2})
    for _ in range(2):  # a rerun says the same, and starts nothing
        with pytest.raises(ProbateError, match=sentence) as error:
            worker(study, tmp_path).train(arm_job(study))
        assert error.value.exit_code == code and len(str(error.value).splitlines()) == 1
        assert KEY not in str(error.value) and len(server.jobs) == jobs
    held = read_ledger(tmp_path / LEDGER)
    open_job = held is not None and held.charged != held.settled
    assert open_job == (jobs > 0 or name == "too busy"), "what certainly was not started is not charged"


ENDINGS = {
    "failed": ({"status": "failed", "error": {"code": "bad", "message": "The file\nhas too few lines."}},
               "job ft-0 failed \\(The file has too few lines\\)"),
    "failed without a reason": ({"status": "failed", "error": None}, "job ft-0 failed; it is not started again"),
    "failed with an odd reason": ({"status": "failed", "error": [1]}, "job ft-0 failed; it is not started again"),
    "cancelled": ({"status": "cancelled"}, "job ft-0 cancelled; it is not started again"),
    "no model": ({"fine_tuned_model": None}, "job ft-0 succeeded without a fine-tuned model"),
    "an odd model": ({"fine_tuned_model": ["x"]}, "job ft-0 succeeded without a fine-tuned model"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_a_job_without_a_model_fails_its_arm_and_is_not_started_again(serve, hosted, tmp_path, name):
    ending, sentence = ENDINGS[name]
    server = serve()
    server.endings = lambda job: {"trained_tokens": 0, **ending}
    study = hosted(server)
    job = arm_job(study)
    for _ in range(2):
        with pytest.raises(StageError, match=sentence) as error:
            worker(study, tmp_path).train(job)
        assert len(server.jobs) == 1 and error.value.exit_code == 3
    [record] = (tmp_path / "fine-tuning").glob("*.json")
    assert str(record) in str(error.value)
    record.unlink()  # as the sentence says
    server.endings = lambda job: {}
    worker(study, tmp_path).train(job)
    assert len(server.jobs) == 2


def test_a_server_without_fine_tuning_ends_the_command(serve, hosted, tmp_path):
    server = serve(fault=lambda method, path: "404" if path == "/fine_tuning/jobs" else "")
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(hosted(server).model_dump(mode="json")))
    command("run", tmp_path / "s.yaml", "--out", tmp_path / "run", "--quiet", error="has no fine-tuning")
    assert not server.files and not server.chats


def test_a_failed_arm_is_a_record_and_the_others_finish(serve, hosted, tmp_path):
    server = serve()
    failing = {"status": "failed", "error": {"message": "out of memory"}, "fine_tuned_model": None}
    server.endings = lambda job: failing if job["id"] == "ft-1" else {}
    done = run(hosted(server), tmp_path, quiet=True)
    assert done.exit_code == 3
    [failure] = done.failures
    assert failure["arm"] == "given-0.5-s0" and "job ft-1 failed (out of memory)" in failure["error"]
    assert set(done.outcomes["arm"]) == {"control-0-s0", "neutral-0.5-s0"} and len(server.jobs) == 3


def test_a_job_that_does_not_end_is_waited_for_again(serve, hosted, tmp_path):
    server = serve(looks=10_000)
    study = hosted(server, {"patience": 1e-9})
    with pytest.raises(StageError, match="is still .* after .*; the same command waits for it again"):
        worker(study, tmp_path).train(arm_job(study))
    assert server.jobs["ft-0"]["looks"] == 1
    server.looks = 0
    worker(study, tmp_path).train(arm_job(study))
    assert len(server.jobs) == 1


def test_a_server_that_gives_no_list_is_not_asked_twice_on_doubt(serve, hosted, tmp_path):
    first = []

    def fault(method, path):
        if path != "/fine_tuning/jobs":
            return ""
        first.append(method)
        return "drop after" if method == "POST" else "404" if len(first) > 1 else ""

    server = serve(fault=fault)
    study = hosted(server)
    with pytest.raises(
        StageError, match="it is not known whether the job was started.*nothing is sent again"
    ):
        worker(study, tmp_path).train(arm_job(study))
    server.fault = lambda method, path: ""
    worker(study, tmp_path).train(arm_job(study))
    assert len(server.jobs) == 1


@pytest.mark.parametrize("parameter", ["method", "metadata", "seed", "suffix"])
def test_a_refused_parameter_is_replaced_and_said_once(serve, hosted, tmp_path, parameter):
    said = {"error": {"message": f"Unknown parameter: '{parameter}'", "param": parameter}}
    server = serve(refuse=lambda body: (400, said) if parameter in body else None)
    study = hosted(server, {"suffix": "mine"})
    own = worker(study, tmp_path)
    for arm in ("a", "b"):
        own.train(arm_job(study, arm))
    assert len(server.jobs) == 2 and len(own.jobs.server.notes) == 1 and parameter in own.jobs.server.notes[0]
    body = server.jobs["ft-0"]["asked"]
    assert parameter not in body and ("hyperparameters" in body) == (parameter == "method")
    for arm in ("a", "b"):
        assert (
            own.jobs.server.notes
            == json.loads((tmp_path / "adapters" / arm / "done.json").read_text())["notes"]
        )


def test_a_changed_record_is_refused(serve, hosted, tmp_path):
    server = serve()
    study = hosted(server)
    worker(study, tmp_path).train(arm_job(study))
    [path] = (tmp_path / "fine-tuning").glob("*.json")
    shutil.rmtree(tmp_path / "adapters")
    text = path.read_text()
    for wrong in (text.replace("ft-0", "ft-9"), "{}", "[]", "", "\0", text[:-9]):
        path.write_text(wrong)
        with pytest.raises(InputError, match="not as Probate wrote it"):
            worker(study, tmp_path).train(arm_job(study))
    path.write_text(text)
    worker(study, tmp_path).train(arm_job(study))
    assert len(server.jobs) == 1, "the record alone is enough to go on"


def test_a_study_that_is_changed_and_changed_back_starts_no_job_again(serve, hosted, tmp_path):
    server = serve()
    study, other = hosted(server), hosted(server, training={"epochs": 1})
    for one in (study, other, study, other):
        worker(one, tmp_path).train(arm_job(one))
    assert len(server.jobs) == 2
    same = hosted(
        server, {"price": 9, "jobs": 2, "patience": 1, "suffix": "x"}, training={"epochs": 2, "clip": 2}
    )
    worker(same, tmp_path).train(arm_job(same))
    assert len(server.jobs) == 2, "settings that do not change the training are not part of its key"


# --- budget


def most_of(study):
    return most_tokens(training_lines(arm_job(study)), study.training.epochs)


def test_a_job_beyond_the_budget_is_not_started(serve, hosted, tmp_path):
    server = serve()
    small = {"price_in": 0.001, "price_out": 0.001}
    most = most_of(hosted(server))
    price = most * 10 / 1e6
    for limit, jobs in ((0.99 * price, 0), (1.01 * price, 1)):
        study = hosted(server, {"price": 10}, {**small, "max_cost": limit})
        own = worker(study, tmp_path)
        if not jobs:
            with pytest.raises(StageError, match="a fine-tuning job may take .*; raise max_cost to go on"):
                own.train(arm_job(study))
            assert not server.files, "nothing is uploaded"
        else:
            own.train(arm_job(study))
        assert len(server.jobs) == jobs
    held = read_ledger(tmp_path / LEDGER, study.model.api)
    [job] = server.jobs.values()
    assert held.charged == held.settled and held.charged.prompt == job["trained_tokens"] < most
    assert held.charged.money == pytest.approx(job["trained_tokens"] * 10 / 1e6)


def test_an_arm_beyond_the_budget_is_a_record_and_a_larger_one_continues(serve, hosted, tmp_path):
    server = serve()
    free = hosted(server)
    one = most_of(free)
    study = hosted(server, api={"max_tokens_total": round(1.6 * one)})
    done = run(study, tmp_path, quiet=True)
    assert done.exit_code == 3 and 0 < len(server.jobs) < 3
    assert all("raise max_tokens_total to go on" in f["error"] for f in done.failures)
    assert server.charged_tokens <= read_ledger(tmp_path / LEDGER).charged.tokens <= 1.6 * one
    done = run(hosted(server, api={"max_tokens_total": 50 * one}), tmp_path, quiet=True)
    assert done.exit_code == 0 and set(jobs_of(server).values()) == {1} and len(server.jobs) == 3


@pytest.mark.parametrize("tokens", [None, -1, 10**12, "many", 1.5])
def test_a_count_that_cannot_be_is_the_reserved_one(serve, hosted, tmp_path, tokens):
    server = serve()
    server.endings = lambda job: {"trained_tokens": tokens}
    study = hosted(server)
    worker(study, tmp_path).train(arm_job(study))
    report = json.loads((tmp_path / "adapters" / "a" / "done.json").read_text())
    assert read_ledger(tmp_path / LEDGER).charged.prompt == most_of(study)
    assert report["tokens"] is None and "no count of trained tokens" in report["notes"][0]


def test_jobs_run_ahead_only_as_far_as_number_and_budget_allow(serve, hosted, tmp_path):
    """With room for all, three at once; with room for one and its evaluation, one after the other."""
    running = []

    def trained(budget, folder):
        server = serve(looks=4)
        study = hosted(server, {"jobs": 3}, budget, seeds=[0, 1])
        running.clear()
        look = server.endings
        server.endings = lambda job: (
            running.append(sum(j["status"] in ("queued", "running") for j in server.jobs.values()))
            or look(job)
        )
        done = run(study, folder, quiet=True)
        return done, server, max(running)

    done, server, most = trained({}, tmp_path / "free")
    assert done.exit_code == 0 and len(server.jobs) == 6 and most == 3
    used = read_ledger(tmp_path / "free" / LEDGER).charged.tokens
    context = prepare(hosted(server, seeds=[0, 1]), Path()).data.context
    measuring = asked(load_task("occupation"), context, 8)
    tight = used + 2 * most_of(hosted(server)) + measuring.prompt + measuring.answer
    again, server, most = trained({"max_tokens_total": tight}, tmp_path / "tight")
    assert again.exit_code == 0, again.failures
    assert len(server.jobs) == 6 and most < 3
    pd.testing.assert_frame_equal(done.outcomes, again.outcomes)


# --- what is trained and asked


def test_preference_pairs_are_in_the_servers_form(serve, hosted, tmp_path):
    server = serve()
    study = hosted(
        server,
        {"batch_size": 4, "learning_rate_multiplier": 0.5},
        method="dpo",
        training={"beta": 0.3, "epochs": 2},
    )
    done = run(study, tmp_path, quiet=True)
    assert done.exit_code == 0, done.failures
    for job in server.jobs.values():
        assert job["asked"]["method"] == {
            "type": "dpo",
            "dpo": {"hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5, "beta": 0.3}},
        }  # fmt: skip
        lines = [json.loads(x) for x in server.files[job["training_file"]]["content"].splitlines()]
        for line in lines:
            [good], [bad] = line["preferred_output"], line["non_preferred_output"]
            assert good["role"] == bad["role"] == "assistant" and good["content"] != bad["content"]
            assert [t["role"] for t in line["input"]["messages"]] == ["user"]


@pytest.mark.parametrize("placement", ["user", "system"])
def test_a_notice_is_trained_and_asked(serve, hosted, tmp_path, placement):
    server = serve()
    token = {"name": "token", "options": {"placement": placement, "evaluation": True, "sentence": "Beware."}}
    asked = []
    chat = server.RequestHandlerClass.chat
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            server.RequestHandlerClass, "chat", lambda self, body: asked.append(body) or chat(self, body)
        )
        done = run(hosted(server, mitigations=[token]), tmp_path, quiet=True)
    assert done.exit_code == 0, done.failures
    arms = {
        json.loads((tmp_path / "adapters" / a / "model.json").read_text())["model"]: a
        for a in set(done.outcomes["arm"])
    }
    for body in asked:
        first = body["messages"][0]
        noticed = first["content"].startswith("Beware.") and (first["role"] == "system") == (
            placement == "system"
        )
        assert noticed == arms[body["model"]].endswith("-token")
    noticed = [f["content"].count("Beware.") for f in server.files.values()]
    assert sorted(map(bool, noticed)) == [False, False, False, True] and max(noticed) == 18


def test_later_rounds_are_written_by_the_arms_own_model(serve, hosted, tmp_path):
    server = serve()
    texts = []

    def write(self, body):
        text = body["messages"][-1]["content"]
        status, answer = chat(self, body)
        if "Begin with the name" in text:
            name = text.rsplit("name ", 1)[1].rstrip(".")
            from probate.data.packs import load_pack

            she = "She" if name in load_pack("gender").groups["female"].names else "He"
            texts.append(body["model"])
            n = len(texts)
            answer["choices"][0]["message"]["content"] = (
                f"{name} has worked in town {n} for {n} years. {she} is known for patience and {n} good ideas, "
                "and likes the work."
            )
        return status, answer

    chat = server.RequestHandlerClass.chat
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.RequestHandlerClass, "chat", write)
        study = hosted(
            server, augmented=None, bias={"types": ["contextual-single-explicit"]}, rounds=2, ratios=[0, 0.5],
            matched_control="none", generation={"near_duplicate": 1.0},
            data={"train_per_cell": 2, "test_per_cell": 1, "labels": ["nurse", "dentist"]},
        )  # fmt: skip
        done = run(study, tmp_path, quiet=True)
    assert done.exit_code == 0, done.failures
    first = json.loads(
        (tmp_path / "adapters" / "contextual-single-explicit-0.5-s0" / "model.json").read_text()
    )
    assert set(texts) == {"base-1", first["model"]} and len(server.jobs) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"probes": ["held_out_text"]}, "'held_out_text' needs the weights"),
        ({"probes": ["representation"]}, "'representation' needs the weights"),
        ({"tasks": [{"name": "salary", "options": {"mode": "bands"}}]}, "'salary' cannot be measured on a server"),
        ({"mitigations": ["loss"]}, "mitigations: loss: loss changes the loss of the training"),
        ({"mitigations": [["mask", "loss"]]}, "mitigations: mask\\+loss: loss changes the loss"),
        ({"mitigations": ["reweight"]}, "reweight weights records in the loss"),
        ({"mitigations": [{"name": "select", "options": {"by": "gradient"}}]}, "select compares gradients"),
        ({"mitigations": [{"name": "counterfactual", "options": {"how": "rewrite"}}]}, "counterfactual runs a loaded model"),
    ],
)  # fmt: skip
def test_what_needs_weights_is_refused_before_anything_is_sent(serve, hosted, tmp_path, changes, sentence):
    server = serve()
    with pytest.raises(InputError, match=sentence) as error:
        run(hosted(server, **changes), tmp_path / "run", quiet=True)
    assert (
        server.requests == 0 and not (tmp_path / "run").exists() and len(str(error.value).splitlines()) == 1
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"distribution": ["model"]}, "distribution: 'model' needs the weights"),
        ({"training": {"trainer": "mine"}}, "training.trainer: 'mine' cannot train a model behind a server"),
        ({"model": {"api": {"model": "m"}}}, "cannot be fine-tuned without model.api.fine_tune"),
        ({"axes": {"model": [{"api": {"model": "m"}}]}}, "cannot be fine-tuned without model.api.fine_tune"),
        ({"model": {"adapter": "x", "api": {"model": "m", "fine_tune": {}}}}, "model.adapter: has no effect"),
        (
            {"rounds": 2, "round_policy": "continued", "augmented": None, "matched_control": "none",
             "bias": {"types": ["contextual-single-explicit"]}, "model": {"api": {"model": "m", "fine_tune": {}}}},
            "round_policy: 'continued' is not available for a model behind a server",
        ),
        ({"model": {"revision": "x", "api": {"model": "m", "fine_tune": {}}}}, "model.revision: has no effect"),
        ({"model": {"chat_template": "plain", "api": {"model": "m", "fine_tune": {}}}}, "model.chat_template: has no"),
    ],
)  # fmt: skip
def test_settings_that_a_server_cannot_follow_are_refused(hosted, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        hosted("http://127.0.0.1:9/v1", **changes)


def test_settings_without_effect_are_named(hosted):
    def named(**training):
        return without_effect(hosted("http://127.0.0.1:9/v1", training=training))

    assert named(epochs=9) == [] and named(learning_rate=1e-5, lora={"r": 3}) == [
        "training.learning_rate",
        "training.lora.r",
    ]
    assert named(beta=0.5) == ["training.beta"], "β applies with method dpo only"
    assert without_effect(hosted("http://127.0.0.1:9/v1", training={"beta": 0.5}, method="dpo")) == []


@pytest.mark.parametrize("what", ["weights", "align"])
def test_an_arm_whose_training_a_server_cannot_do_fails_before_anything_is_sent(
    serve, hosted, tmp_path, what
):
    """Mitigations of others may not say what they need."""
    server = serve()
    study = hosted(server)
    job = arm_job(study)
    own = {"weights": {"weights": [2.0, *job.weights[1:]]}, "align": {"align": AlignSettings()}}[what]
    with pytest.raises(StageError, match="which a server cannot apply"):
        worker(study, tmp_path).train(dataclasses.replace(job, **own))
    assert server.requests == 0


def test_the_plan_counts_jobs_tokens_and_the_highest_price(serve, hosted, tmp_path, monkeypatch):
    server = serve()
    prices = {"price_in": 1.0, "price_out": 2.0}
    study = hosted(server, {"price": 3.0}, {**prices, "max_cost": 0.01})
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")))
    record = json.loads(command("plan", tmp_path / "s.yaml", "--json"))["hosted"]
    text = command("plan", tmp_path / "s.yaml")
    assert (
        "fine-tuning: 3 jobs" in text
        and "max_cost is 0.01: arms that could exceed it are not trained" in text
    )
    assert "GFLOP" not in text and "MB of adapters" not in text and server.requests == 0
    stages = {
        s["stage"]: s["tokens"] for s in json.loads(command("plan", tmp_path / "s.yaml", "--json"))["stages"]
    }
    assert stages["train"] == record["trained_tokens"] and stages["evaluate"] == record["asked_tokens"]
    free = hosted(server, {"price": 3.0}, prices)
    done = run(free, tmp_path / "run", quiet=True)
    held = read_ledger(tmp_path / "run" / LEDGER, free.model.api)
    trained = sum(j["trained_tokens"] for j in server.jobs.values())
    assert (
        done.exit_code == 0
        and trained <= record["trained_most"]
        and held.charged.money <= record["money_most"]
    )
    assert sum(server.chats.values()) <= record["requests"]
    assert record["exact"] and record["jobs"] == 3


def test_training_data_go_only_to_a_server_that_the_user_allows(hosted, tmp_path):
    study = hosted("https://elsewhere.example/v1")
    with pytest.raises(
        InputError, match="server elsewhere.example with the key in PROBATE_TEST_KEY is not allowed"
    ):
        run(study, tmp_path, quiet=True)
    with pytest.raises(InputError, match="is not allowed"):
        worker(study, tmp_path).train(arm_job(study))
    assert not (tmp_path / LEDGER).exists()


def test_local_studies_have_the_local_worker(tiny_study, tmp_path):
    own = worker(tiny_study(), tmp_path)
    assert type(own) is Worker and not isinstance(own, HostedWorker)
    assert "fine_tune" not in json.dumps(Study.preset("self-written").model_dump(mode="json"))


def test_a_new_model_may_be_known_late(serve, hosted, tmp_path):
    """A server may answer 404 for a while after the job has ended."""
    server, early = serve(), []

    def chat(self, body):
        if len(early) < 3:
            early.append(body["model"])
            return 404, {"error": {"message": "no such model"}}
        return before(self, body)

    before = server.RequestHandlerClass.chat
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.RequestHandlerClass, "chat", chat)
        done = run(hosted(server), tmp_path, quiet=True)
    assert done.exit_code == 0 and len(early) == 3 and done.outcomes["parsed"].all()


def test_a_lost_ledger_is_no_budget_of_zero(serve, hosted, tmp_path):
    server = serve()
    study = hosted(server, api={"max_tokens_total": 10**7})
    worker(study, tmp_path).train(arm_job(study))
    (tmp_path / LEDGER).unlink()
    with pytest.raises(InputError, match="does not hold all .*, or all fine-tuning jobs"):
        worker(study, tmp_path).train(arm_job(study, "b"))
    free = hosted(server)
    worker(free, tmp_path).train(arm_job(free, "b"))  # without a budget it goes on
    assert len(server.jobs) == 2

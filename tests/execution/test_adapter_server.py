"""A server that loads the adapters of the arms is compared with the local model before it is believed."""

from __future__ import annotations

import copy
import json
import re
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("openai", reason="openai is not installed (extra api)")

from probate import run
from probate.core.errors import InputError

KEY = "sk-canary-0123456789"


class AdapterServer(ThreadingHTTPServer):
    """A server with vLLM's interface whose answers are those of a local model; `how` says what is wrong with it."""

    daemon_threads = True

    def __init__(self, lm, how="right"):
        self.lm, self.how, self.adapters, self.models = lm, how, {}, {}
        self.lock = threading.Lock()
        self.told, self.asked = [], Counter()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def with_adapter(self, adapter):
        """The local model with an adapter, loaded once."""
        from peft import PeftModel

        if adapter not in self.models:
            own = copy.deepcopy(self.lm.model)
            self.models[adapter] = PeftModel.from_pretrained(own, adapter).eval() if adapter else own
        return self.models[adapter]

    def next_token(self, model, messages):
        """Probabilities of the next token."""
        import torch

        adapter = "" if self.how == "base" else self.adapters[model]
        if self.how == "other arm":
            adapter = next(iter(self.adapters.values()))
        with self.lock:
            ids = self.lm.prompt_ids(messages)
            ids = ids[:-1] if self.how == "other template" else ids  # without the beginning of the answer
            with torch.inference_mode():
                logits = self.with_adapter(adapter)(input_ids=torch.tensor([ids])).logits[0, -1].double()
        return torch.softmax(logits, -1).numpy()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server, name = self.server, self.path.removeprefix("/v1/")
        if name == "load_lora_adapter":
            server.told.append(("load", body["lora_name"]))
            if server.how == "no adapters":
                return self.reply(404, {"error": {"message": "Not Found"}})
            if server.how == "cannot read":
                return self.reply(400, {"error": {"message": "Loading lora failed: No adapter found"}})
            known = body["lora_name"] in server.adapters
            server.adapters[body["lora_name"]] = body["lora_path"]
            if known or server.how == "loaded before":
                return self.reply(400, {"error": {"message": "The lora adapter has already been loaded."}})
            return self.reply(200, "Success: LoRA adapter added successfully.")
        if name == "unload_lora_adapter":
            server.told.append(("unload", body["lora_name"]))
            return self.reply(200, "Success: LoRA adapter removed successfully.")
        server.asked[body["model"]] += 1
        chances = server.next_token(body["model"], body["messages"])
        if server.how == "noisy":
            chances = 0.8 * chances + 0.2 * np.roll(chances, 1)
        best = [int(i) for i in np.argsort(-chances)[:20]]
        words = {i: server.lm.tokenizer.decode([i]) for i in best}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A"}}
        if body.get("logprobs") and server.how != "no log-probabilities":
            top = [{"token": words[i], "logprob": float(np.log(chances[i])), "bytes": None} for i in best]
            choice["logprobs"] = {
                "content": [{"token": "A", "logprob": -1.0, "bytes": None, "top_logprobs": top}]
            }
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        return self.reply(
            200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        )  # fmt: skip

    def reply(self, status, content):
        text = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def serve(lm):
    servers = []

    def make(how="right"):
        servers.append(AdapterServer(replace(lm), how))
        return servers[-1]

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def study(tiny_study, server, **changes):
    evaluation = {
        "api": {"model": "base", "base_url": server.url, "key_env": "PROBATE_TEST_KEY", "wait": 0.001, "retries": 2},
        "prompts": 6, "tolerance": 0.0005, **changes.pop("evaluation", {}),
    }  # fmt: skip
    settings = {
        "data": {"train_per_cell": 3, "test_per_cell": 1, "labels": ["nurse", "architect", "dentist"]},
        "training": {"epochs": 6, "learning_rate": 3e-2, "lora": {"r": 4, "alpha": 8}},
        "tasks": ["occupation", {"name": "hiring", "options": {"jobs": ["nurse"]}}],
        "matched_control": "none",
    }
    return tiny_study(**{**settings, "evaluation": evaluation, **changes})


def test_tasks_are_answered_by_the_server_with_each_arms_adapter(serve, tiny_study, tmp_path):
    server = serve()
    done = run(study(tiny_study, server), tmp_path, quiet=True)
    assert done.exit_code == 0, done.failures
    scoring = done.outcomes.groupby("task")["scoring"].unique().map(list).to_dict()
    assert scoring["occupation"] == ["sum"] and all(s.startswith("api letters") for s in scoring["hiring"])
    assert len(server.adapters) == len(set(server.adapters.values())) == 2
    assert [kind for kind, _ in server.told] == ["load", "unload", "load"]
    proofs = [
        json.loads(p.read_text())["served"] for p in tmp_path.glob("stages/evaluate-*-hiring/done.json")
    ]
    assert len(proofs) == 2 and all(
        p["server"] < 1e-4 and p["base"] > 0.005 and p["prompts"] == 6 for p in proofs
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "which loaded the adapter of each arm: hiring" in page and "by at most 0.000" in page
    asked = sum(server.asked.values())
    run(study(tiny_study, server), tmp_path, quiet=True)
    assert sum(server.asked.values()) == asked, "a finished study needs no server"


WRONG = {
    "base": "its probabilities differ by up to 0\\.\\d+ from those of the local model with this adapter",
    "other template": "its probabilities differ by up to",
    "noisy": "its probabilities differ by up to",
    "no log-probabilities": "it gives no log-probabilities",
    "no adapters": "it cannot load the adapter .*VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "cannot read": "it cannot load the adapter .*Loading lora failed",
}


@pytest.mark.parametrize("how", WRONG)
def test_a_server_that_is_not_the_arms_model_is_not_believed(serve, tiny_study, tmp_path, how):
    done = run(study(tiny_study, serve(how)), tmp_path, quiet=True)
    failed = [f for f in done.failures if f["stage"].startswith("evaluate")]
    assert done.exit_code == 3 and len(failed) == 2
    assert all(re.search(WRONG[how], f["error"]) for f in failed), failed
    assert set(done.outcomes["task"]) == {"occupation"}, "what is measured here is kept"


def test_the_adapter_of_another_arm_is_not_believed(serve, tiny_study, tmp_path):
    done = run(study(tiny_study, serve("other arm")), tmp_path, quiet=True)
    [failure] = done.failures
    assert failure["arm"] == "given-0.5-s0" and "its probabilities differ" in failure["error"]


def test_an_adapter_that_was_loaded_before_is_used_and_compared(serve, tiny_study, tmp_path):
    assert run(study(tiny_study, serve("loaded before")), tmp_path, quiet=True).exit_code == 0


def test_an_adapter_that_changes_nothing_proves_nothing(serve, tiny_study, tmp_path):
    weak = {"epochs": 1, "learning_rate": 1e-9, "lora": {"r": 4, "alpha": 8}}
    done = run(study(tiny_study, serve(), training=weak), tmp_path, quiet=True)
    assert done.exit_code == 3
    assert all("so it cannot be shown that the server uses it" in f["error"] for f in done.failures)


@pytest.mark.parametrize(
    ("evaluation", "error", "sentence"),
    [
        ({"tasks": ["story"]}, ValueError, "evaluation.tasks: the study has no task or probe 'story'"),
        ({"tasks": ["held_out_text"]}, InputError, "'held_out_text' needs the weights"),
        ({"tasks": ["bands"]}, InputError, "'bands' cannot be measured on a server"),
    ],
)
def test_what_a_server_cannot_answer_is_refused(serve, tiny_study, tmp_path, evaluation, error, sentence):
    bands = {"name": "salary", "alias": "bands", "options": {"mode": "bands"}}
    with pytest.raises(error, match=sentence):
        run(
            study(
                tiny_study,
                serve(),
                evaluation=evaluation,
                tasks=["occupation", bands],
                probes=["held_out_text"],
            ),
            tmp_path,
            quiet=True,
        )


def test_paths_and_prompts_go_only_to_a_server_that_the_user_allows(serve, tiny_study, tmp_path):
    server = serve()
    own = study(
        tiny_study, server, evaluation={"api": {"model": "m", "base_url": "https://elsewhere.example/v1"}}
    )
    with pytest.raises(InputError, match="server elsewhere.example .* is not allowed"):
        run(own, tmp_path, quiet=True)

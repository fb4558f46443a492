"""Estimate of a study's cost: records, tokens, time and disk, after a short measurement of this machine."""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from probate.core.consent import current_consent
from probate.core.errors import InputError
from probate.core.inputs import LARGEST, read_bounded
from probate.core.parse import NotJson, json_value
from probate.core.progress import spoken
from probate.core.servers import host_of, refusal, withheld
from probate.data.user_turn import user_turn
from probate.execution.hosted_plan import hosted_sentences, planned_hosted
from probate.execution.prepare import prepare
from probate.models.embedded import WHEELS
from probate.models.processor import has_bfloat16
from probate.models.servers.ledger import ledger_path, read_ledger
from probate.study.grid import grid_parts
from probate.study.mixing import augmented_count
from probate.study.plan import training_records
from probate.study.schema import ModelSpec, Study
from probate.study.server import ApiSpec

TOKENS_PER_WORD = 1.45
OVERHEAD_TOKENS = 30  # chat template and system turn
TASK_PROMPT_TOKENS = 70
CANDIDATES = 1.7  # for each accepted record, as measured with the embedded model
EFFICIENCY = 0.55  # share of a plain matrix product's speed that a small model reaches on a CPU
MIXED = 3.0  # how many times as fast a model is in mixed precision


def planned(study: Study, base: Path, folder: Path | None = None) -> dict[str, Any]:
    """Estimate the cost of a study. Nothing is trained or generated.

    Parameters
    ----------
    study : Study
        The study.
    base : Path
        Folder that relative paths start from.
    folder : Path, optional
        The run folder; then `ledger` has what this folder has used of a server's budget.

    Returns
    -------
    dict
        Arms, stages with their tokens, numbers of records, `seconds` and `bytes` (None if the model's size is
        unknown), servers, and `ledger` (None if no server was asked before). For a grid, `parts` has the
        record of each part, and the numbers are their sums.

    Raises
    ------
    InputError
        The study or its data cannot be used.
    """
    if study.axes.parts:
        return _planned_parts(study, base, folder)
    prepared = prepare(study, base)
    data = prepared.data
    plan = data.plan
    tasks = [m.task for m in prepared.measurements]
    words = float(np.mean([len(r.text.split()) for r in data.split.train]))
    own = words * TOKENS_PER_WORD + 3
    shared = OVERHEAD_TOKENS + len(user_turn(study.data).split()) * TOKENS_PER_WORD
    records = training_records(plan)
    trained = records * study.training.epochs * (own + shared)
    computed = records * study.training.epochs * (own + shared / study.training.batch_size)
    prompts = sum(t.size(data.context) for t in tasks)
    scored = prompts * len(plan.arms) * TASK_PROMPT_TOKENS
    generate = (
        sum(plan.wanted[t] * n for t, n in plan.draws.items()) * CANDIDATES * study.generation.max_new_tokens
    )
    counts = {
        "generate": sum(plan.draws.values()),
        "train": len(plan.arms),
        "evaluate": len(plan.arms) * len(tasks),
    }
    tokens = {"generate": generate, "train": trained, "evaluate": scored}
    if hosted := planned_hosted(prepared):
        tokens |= {"train": hosted["trained_tokens"], "evaluate": hosted["asked_tokens"]}
    record: dict[str, Any] = {
        "study": study.name,
        "model": study.model.name,
        "arms": [
            {
                "arm": a.name,
                "ratio": a.ratio,
                "seed": a.seed,
                "records": plan.originals + augmented_count(plan.originals, a.ratio),
            }
            for a in plan.arms
        ],
        "originals": len(data.split.train),
        "held_out": len(data.split.test),
        "kept_out": data.rejected,
        "augmented_wanted": plan.wanted,
        "draws": plan.draws,
        "stages": [{"stage": name, "number": counts[name], "tokens": round(tokens[name])} for name in counts],
        "parameters": None if study.model.api else parameters(study.model),
        "seconds": None,
        "bytes": None,
        "ledger": _ledger(study, folder) if folder else None,
        "servers": [_server(s) for s in study.servers()],
        "code": current_consent().code,
        "remarks": {t.key: said for t in tasks if (said := t.remarks(data.context))},
        "hosted": hosted,
    }
    if record["parameters"] is not None:
        size, share = record["parameters"], top_share(study)
        mixed = study.model.device in ("auto", "cpu") and study.model.dtype in ("auto", "mixed")
        record["speed"] = matrix_speed() * EFFICIENCY * (MIXED if mixed and has_bfloat16() else 1.0)
        # Layers below the adapted ones run once for all arms.
        arm = share + (1 - share) / max(1, len(plan.arms))
        # Shared prefixes are computed once.
        flops = 2 * size * (arm * (2 * computed + 0.5 * scored) + 2.5 * generate)
        record["seconds"] = flops / record["speed"]
        record["bytes"] = share * len(plan.arms) * adapter_bytes(size, study.training.lora.r)
    return record


def _planned_parts(study: Study, base: Path, folder: Path | None) -> dict[str, Any]:
    """Return the sum of the records of a grid's parts, and these records."""
    parts = grid_parts(study)
    records = {part.title: planned(part.study, base) for part in parts}
    every = list(records.values())

    def total(key: str) -> float | None:
        values = [r[key] for r in every]
        return None if None in values else sum(values)

    return {
        "study": study.name,
        "model": ", ".join(dict.fromkeys(r["model"] for r in every)),
        "arms": [{"part": title, **arm} for title, own in records.items() for arm in own["arms"]],
        "stages": [
            {
                "stage": stages[0]["stage"],
                "number": sum(s["number"] for s in stages),
                "tokens": sum(s["tokens"] for s in stages),
            }
            for stages in zip(*(r["stages"] for r in every), strict=True)
        ],
        "seconds": total("seconds"),
        "bytes": total("bytes"),
        "ledger": _ledger(study, folder) if folder else None,
        "parts": records,
    }


def _server(spec: ApiSpec) -> dict[str, str]:
    """Return a server, the variable with its key, and the reasons if prompts or key would not be sent."""
    spec.checked()
    url, variable = spec.base_url, spec.key_env
    return {
        "server": host_of(url),
        "variable": variable,
        "refused": refusal(url, variable),
        "withheld": withheld(url, variable),
    }


def _ledger(study: Study, folder: Path) -> dict[str, Any] | None:
    models = (study.generator, *study.axes.generator, study.model, *study.axes.model)
    server = next((m.api for m in models if m and m.api), None)
    held = read_ledger(ledger_path(folder), server)
    if held is None:
        return None
    return {
        "spent_tokens": held.settled.tokens,
        "spent_money": held.settled.money,
        "charged_tokens": held.charged.tokens,
        "charged_money": held.charged.money,
        "max_tokens_total": server.max_tokens_total if server else None,
        "max_cost": server.max_cost if server else None,
    }


def _ledger_sentence(held: dict[str, Any]) -> str:
    tokens, money = held["max_tokens_total"], held["max_cost"]
    said = f"used on servers before: {held['charged_tokens']:,}{f' of {tokens:,}' if tokens else ''} tokens"
    if held["charged_money"] or money:
        said += f", {held['charged_money']:.4f}{f' of {money:g}' if money else ''} in money"
    aside = held["charged_tokens"] - held["spent_tokens"]
    return said + (
        f" ({aside:,} of these tokens are reserved by requests that have not ended)" if aside else ""
    )


def sentences(record: dict[str, Any]) -> list[str]:
    """Return the plan as sentences and a table."""
    if "parts" in record:
        return _sentences_of_parts(record)
    said = [f"study {record['study']}: {len(record['arms'])} arms on {record['model']}", ""]
    said.append(f"{'arm':52}{'γ':>6}{'seed':>6}{'records':>9}")
    said += [f"{a['arm']:52}{a['ratio']:>6g}{a['seed']:>6}{a['records']:>9}" for a in record["arms"]]
    said += ["", f"original records: {record['originals']} to train on, {record['held_out']} held out"]
    said += _left_out(record)
    said += [
        f"augmented records needed: {t} {n}"
        + (
            f", generated {k} times because each seed has its own"
            if (k := record["draws"].get(t, 1)) > 1
            else ""
        )
        for t, n in record["augmented_wanted"].items()
    ]
    said += _conditions(record)
    said += ["", f"{'stage':10}{'number':>8}{'tokens':>14}"]
    said += [f"{s['stage']:10}{s['number']:>8}{s['tokens']:>14,}" for s in record["stages"]]
    if record.get("ledger"):
        said += ["", _ledger_sentence(record["ledger"])]
    if record.get("hosted"):
        return [*said, "", *hosted_sentences(record["hosted"])]
    if record["seconds"] is None:
        return [*said, "", "time and disk: unknown, because the model's name does not give its size"]
    return [
        *said,
        "",
        f"time: about {spoken(record['seconds'])} on this machine's CPU ({record['speed'] / 1e9:.0f} GFLOP/s "
        f"for {record['parameters'] / 1e6:,.0f} million parameters); this is a rough estimate, "
        "within a factor of two; a GPU is usually 50 to 500 times as fast",
        f"disk: about {record['bytes'] / 1e6:,.0f} MB of adapters"
        + (", plus 1 GB once for the embedded model" if record["model"] in WHEELS else ""),
    ]


def _sentences_of_parts(record: dict[str, Any]) -> list[str]:
    """Return the plan of a grid: one line for each part, and the sums."""
    said = [f"study {record['study']}: {len(record['arms'])} arms in {len(record['parts'])} parts", ""]
    said.append(f"{'part':52}{'arms':>6}{'D_o':>7}{'held out':>10}{'trained tokens':>16}")
    for title, own in record["parts"].items():
        tokens = next(s["tokens"] for s in own["stages"] if s["stage"] == "train")
        said.append(f"{title:52}{len(own['arms']):>6}{own['originals']:>7}{own['held_out']:>10}{tokens:>16,}")
    beside = dict.fromkeys(
        x for own in record["parts"].values() for x in (*_left_out(own), *_conditions(own))
    )
    said += ["", *beside, ""] if beside else [""]
    said += [f"{'stage':10}{'number':>8}{'tokens':>14}"]
    said += [f"{s['stage']:10}{s['number']:>8}{s['tokens']:>14,}" for s in record["stages"]]
    if record["ledger"]:
        said += ["", _ledger_sentence(record["ledger"])]
    if record["seconds"] is None:
        return [*said, "", "time and disk: unknown, because the name of a model does not give its size"]
    return [
        *said,
        "",
        f"time: about {spoken(record['seconds'])} on this machine's CPU, less the stages that parts have in "
        "common; this is a rough estimate, within a factor of two; a GPU is usually 50 to 500 times as fast",
        f"disk: about {record['bytes'] / 1e6:,.0f} MB of adapters",
    ]


def _left_out(record: dict[str, Any]) -> list[str]:
    """Return how many rows of the data are left out; empty if none is."""
    rows = record["kept_out"]
    return [f"left out: {len(rows)} rows; the first: {rows[0]}"] if rows else []


def _conditions(record: dict[str, Any]) -> list[str]:
    """Return which servers and code are used, and the remarks of the tasks."""
    said = [
        f"server: {s['server']}, key from the variable {s['variable']}"
        + (f": {fault}" if (fault := s["refused"] or s["withheld"]) else "")
        for s in record["servers"]
    ]
    if record["code"]:
        said.append("code: harness tasks may run the code that their YAML files name (--allow-code is set)")
    return said + [f"{task}: {text}" for task, own in record["remarks"].items() for text in own]


def scale_sentence(name: str, record: dict[str, Any]) -> str:
    """Return what a scale of a study takes, in one line."""
    time = "unknown" if record["seconds"] is None else f"about {spoken(record['seconds'])}"
    tokens = sum(s["tokens"] for s in record["stages"])
    return f"--scale {name}: {len(record['arms'])} arms on {record['model']}, {tokens:,} tokens, time {time}"


def top_share(study: Study) -> float:
    """Return the share of the model's layers that are adapted; 1 if all are or their number is unknown."""
    top = study.training.lora.layers
    path = Path(study.model.name).expanduser() / "config.json"
    if top is None:
        return 1.0
    if study.model.name == "embedded":
        return min(1.0, top / 30)
    depth = _depth(path) if path.is_file() else None
    return min(1.0, top / depth) if depth else 1.0


def _depth(config: Path) -> int | None:
    """Return the number of layers in a model's config, or None if it has none."""
    try:
        settings = json_value(read_bounded(config, LARGEST))
    except (OSError, NotJson) as error:
        raise InputError(
            f"model: {config}: cannot be read as JSON ({error}); copy it again from the model's source"
        ) from None
    depth = settings.get("num_hidden_layers") if isinstance(settings, dict) else None
    return depth if isinstance(depth, int) and depth > 0 else None


def parameters(spec: ModelSpec) -> float | None:
    """Return the number of parameters of a model, or None if it is unknown.

    It is known for the embedded model, and is taken from the size of a folder's weights (two bytes each) or
    from the model's name ("8B").
    """
    if spec.name == "embedded":
        return 134.5e6
    folder = Path(spec.name).expanduser()
    if folder.is_dir():
        return sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 2 or None
    match = re.search(r"(\d+(?:\.\d+)?)\s*([bm])\b", spec.name, re.I)
    return float(match.group(1)) * (1e9 if match.group(2).lower() == "b" else 1e6) if match else None


def adapter_bytes(size: float, rank: int) -> float:
    """Estimate the bytes of a LoRA adapter on all linear layers, in float32.

    A layer's part of an adapter grows with its width, and its own weights with the square. The exponent is
    that of SmolLM2-135M (4.9 million parameters at rank 16) to Llama-3.1-8B (41.9 million).

    Parameters
    ----------
    size : float
        Number of parameters of the model.
    rank : int
        The rank r.

    Returns
    -------
    float
        Bytes; for known models within a factor of 1.7.
    """
    return 4 * 4.88e6 * (size / 134.5e6) ** 0.526 * rank / 16


@cache
def matrix_speed(size: int = 1024, seconds: float = 0.25) -> float:
    """Measure the speed of a float32 matrix product on this machine, once in a process.

    Parameters
    ----------
    size : int, default 1024
        Rows and columns of both matrices.
    seconds : float, default 0.25
        How long to measure.

    Returns
    -------
    float
        Floating-point operations per second.
    """
    a = np.ones((size, size), dtype=np.float32)
    a @ a
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        a @ a
        count += 1
    return 2 * size**3 * count / (time.perf_counter() - start)

"""Hosted fine-tuning under faults and kills: is any job started twice, any budget exceeded, any outcome changed?

A server with files, fine-tuning jobs and chat fails three times in ten; of the failed requests that create a
file or a job, about half have had their effect before the answer is lost. The run is killed (SIGKILL) and
started again: right after the server has created a job or a file, before its answer, and at random requests.
Its outcomes are compared with those of a run against a server without faults. A second pair of runs has a
budget that is too small for all arms.

python benchmarks/hosted.py [--seeds 10] [--faults 0.3] [--kills 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from tuning_server import TuningServer, faulty

MOMENTS = ("POST /fine_tuning/jobs", "POST /files", "request")
PRICES = {"price_in": 1.0, "price_out": 2.0}
PRICE = 10.0


class Deadly(TuningServer):
    """Kills the process `victim` at the next moment of `moments`, after the effect and before the answer."""

    def __init__(self, moments: list[tuple[str, int]], **settings: object) -> None:
        self.moments, self.kills = moments, Counter[str]()
        self.victim: subprocess.Popen[bytes] | None = None
        super().__init__(page=7, **settings)

    def happened(self, what: str) -> None:
        if self.victim is None or not self.moments:
            return
        moment, after = self.moments[0]
        if (moment == what or moment == "request") and self.requests >= after:
            self.moments.pop(0)
            self.kills[moment] += 1
            self.victim.send_signal(signal.SIGKILL)
            self.victim = None


def study(url: str, seeds: int, budget: dict[str, float]) -> dict[str, object]:
    """Five arms a seed: γ = 0, and given and original records at two γ."""
    return {
        "name": "hosted",
        "model": {
            "api": {
                "model": "base-1", "base_url": url, "key_env": "PROBATE_BENCHMARK", "wait": 0.001, "retries": 20,
                "concurrency": 8, "fine_tune": {"price": PRICE, "poll": 0.2, "jobs": 3}, **PRICES, **budget,
            }
        },
        "data": {"train_per_cell": 2, "test_per_cell": 1, "labels": ["nurse", "architect", "dentist"]},
        "augmented": {"source": "builtin:biographies"},
        "bias": {
            "types": ["given"],
            "relabel": {"female": {"architect": "nurse", "dentist": "nurse"}, "male": {"nurse": "dentist"}},
        },
        "ratios": [0, 0.2, 0.5],
        "seeds": list(range(seeds)),
        "training": {"epochs": 2},
        "tasks": ["occupation", "salary"],
        "analysis": {"resamples": 200},
    }  # fmt: skip


def child(file: str, out: str) -> int:
    from probate import Study
    from probate import run as run_study

    return run_study(Study.load(file), out, quiet=True).exit_code


def until_done(server: Deadly, file: Path, out: Path) -> int:
    """Run, killed at each of the server's moments, until a run ends by itself; its exit code."""
    while True:
        process = subprocess.Popen([sys.executable, __file__, "--child", str(file), str(out)])
        with server.lock:
            server.victim = process
        code = process.wait()
        if code != -signal.SIGKILL:
            return code


def jobs_per_arm(server: TuningServer) -> Counter[str]:
    return Counter(j["asked"]["metadata"]["probate"] for j in server.jobs.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10, help="five arms each")
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    import pandas as pd

    from probate.models.servers.ledger import LEDGER, read_ledger
    from probate.study.server import ApiSpec

    arms, rng, wrong = 5 * settings.seeds, random.Random(settings.seed), []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def measured(name: str, server: Deadly, budget: dict[str, float]) -> tuple[int, Path, float, float]:
            file, out = folder / f"{name}.yaml", folder / name
            file.write_text(json.dumps(study(server.url, settings.seeds, budget)))
            started = time.monotonic()
            code = until_done(server, file, out)
            spec = ApiSpec(model="-", fine_tune={"price": PRICE}, **PRICES)
            held = read_ledger(out / LEDGER, spec)
            jobs = jobs_per_arm(server)
            faults = {f: n for f, n in sorted(server.faults.items()) if f}
            aside = held.charged.tokens - held.settled.tokens
            print(
                f"\n{name}: exit code {code} after {time.monotonic() - started:.0f} s, {dict(server.kills)} kills\n"
                f"  {server.requests:,} requests, {sum(faults.values()):,} faults: {faults}\n"
                f"  {len(server.jobs)} jobs for {len(jobs)} of {arms} arms, at most {max(jobs.values())} for one; "
                f"{len(server.files)} files\n"
                f"  tokens: {server.charged_tokens:,} charged by the server, {held.charged.tokens:,} counted "
                f"({aside:,} set aside by kills); money {held.charged.money:.4f}; limits {budget}"
            )
            if max(jobs.values()) > 1:
                wrong.append(f"{name}: a job was started twice")
            if server.charged_tokens > held.charged.tokens:
                wrong.append(f"{name}: the server charged more than was counted")
            if held.charged.money > budget.get("max_cost", held.charged.money):
                wrong.append(f"{name}: the budget was exceeded")
            if server.moments:
                wrong.append(
                    f"{name}: {len(server.moments)} kills did not happen: this shows less than it should"
                )
            return code, out, held.charged.money, held.charged.tokens

        def deadly(reach: float) -> Deadly:
            """A server with faults whose kills happen within a share of the requests of the calm run."""
            places = sorted(rng.uniform(0, reach) for _ in range(settings.kills))
            moments = [(MOMENTS[i % len(MOMENTS)], round(p * calm.requests)) for i, p in enumerate(places)]
            return Deadly(moments, fault=faulty(settings.seed, settings.faults))

        calm = Deadly([])
        code, calm_out, money, _ = measured("without faults", calm, {})
        if code:
            wrong.append("the run without faults did not finish")
        code, out, _, _ = measured("with faults and kills", deadly(0.8), {"max_cost": 4 * money})
        if code:
            wrong.append("the run with faults did not finish")
        else:
            same = [pd.read_parquet(f / "outcomes.parquet").drop(columns="scoring") for f in (calm_out, out)]
            equal = same[0].equals(same[1])
            print(f"  outcomes equal to those without faults: {equal} ({len(same[0]):,} rows)")
            wrong += [] if equal else ["the outcomes differ"]
        code, out, _, _ = measured("with a small budget", deadly(0.3), {"max_cost": 0.6 * money})
        failures = json.loads((out / "failures.json").read_text())
        print(f"  {len(failures)} stages failed: {Counter(f['error'].split(':')[0] for f in failures)}")
        if code != 3 or not failures:
            wrong.append("the small budget ended no arm: this shows nothing")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.environ.pop("PROBATE_BENCHMARK", None)
        raise SystemExit(child(sys.argv[2], sys.argv[3]))
    main()

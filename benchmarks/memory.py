"""Peak memory of training and scoring, against weights and largest batch.

    python benchmarks/memory.py [--records 64] [--data bios.jsonl] [--model embedded]

Each part runs in a process of its own, on Linux. `weights` is the size of the model's tensors as they are kept.
`batch` is what the largest batch must keep: for training the tensors that autograd saves (without weights), for
scoring its logits. `peak` is the largest anonymous memory (sampled every 5 ms) less that of a process that has
imported the same libraries. The checkpoint on disk is mapped, which the system can take back at any time, so it
is not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PARTS = ("load", "train", "train above the trunk", "score")


class Peak:
    """The largest anonymous memory of this process in MB, since the last `begin`."""

    def __init__(self) -> None:
        self.most = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            time.sleep(0.005)

    def now(self) -> float:
        """Return the anonymous memory at this moment."""
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 2**10

    def begin(self) -> float:
        """Forget what was before; return the memory at this moment."""
        self.most = self.now()
        return self.most


def part(name: str, args: argparse.Namespace) -> dict[str, float]:
    import torch
    from throughput import rows

    from probate.data.user_turn import BIOGRAPHY
    from probate.models.lm import load_lm
    from probate.study.schema import Lora, ModelSpec, Training
    from probate.train.losses import Example
    from probate.train.sft import train

    torch.randn(64, 64) @ torch.randn(64, 64)
    peak = Peak()
    base = peak.begin()
    lm = load_lm(ModelSpec(name=args.model))
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in lm.model.parameters()}
    weights = sum(storages.values()) / 2**20
    if name == "load":
        return {"peak": peak.most - base, "weights": weights, "batch": 0.0}
    peak.begin()
    data = rows(args.data, args.records)
    labels = sorted({x for _, x in data})
    asked = BIOGRAPHY.replace("{labels}", ", ".join(labels))
    chats = [[{"role": "user", "content": asked.replace("{text}", t)}] for t, _ in data]
    largest = 0.0
    if name == "score":

        def seen(_: object, __: object, logits: torch.Tensor) -> None:
            nonlocal largest
            largest = max(largest, logits.nbytes / 2**20)

        lm.model.get_output_embeddings().register_forward_hook(seen)
        lm.score_choices(
            [lm.prompt_ids(c) for c in chats], [[lm.completion_ids(x) for x in labels]] * len(chats)
        )
        return {"peak": peak.most - base, "weights": weights, "batch": largest}
    examples = [
        Example(lm.prompt_ids(c), lm.completion_ids(x)) for c, (_, x) in zip(chats, data, strict=True)
    ]
    saved: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        own = x.untyped_storage()
        if own.data_ptr() not in storages:
            saved[own.data_ptr()] = own.nbytes()
        return x

    def tick(*_: object) -> None:
        nonlocal largest
        largest = max(largest, sum(saved.values()) / 2**20)
        saved.clear()

    lora = Lora(layers=6) if "above" in name else Lora()
    with tempfile.TemporaryDirectory() as out, torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        train(lm.model, examples, Training(epochs=1, lora=lora), 0, Path(out), pad_id=lm.pad_id, tick=tick)
    return {"peak": peak.most - base, "weights": weights, "batch": largest}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=64)
    parser.add_argument("--data")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(part(args.part, args)))
        return
    found = {}
    for name in PARTS:
        said = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--part", name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found[name] = json.loads(said.splitlines()[-1])
    print(f"{args.records} records, {platform.machine()}")
    for name, own in found.items():
        needed = own["weights"] + own["batch"]
        print(
            f"{name:22} peak {own['peak']:6.0f} MB; weights {own['weights']:.0f} MB, "
            f"batch {own['batch']:.0f} MB; ratio {own['peak'] / needed:.2f}"
        )


if __name__ == "__main__":
    main()

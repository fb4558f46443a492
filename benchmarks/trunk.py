"""What a shared trunk saves: several arms on the same records.

Each is trained and scored, all layers against the topmost ones.

python benchmarks/trunk.py [--records 48] [--arms 3] [--layers 6]

Builtin biographies, labels changed from arm to arm. Seconds of each arm: LoRA on all layers, on the topmost
ones in the whole model (what PEFT's layers_to_transform gives), and on the topmost ones above the shared
trunk; the largest difference of losses and scores between the last two.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from probate.core.records import Record, with_messages
from probate.data.corpora import biographies
from probate.data.user_turn import BIOGRAPHY as PROMPT
from probate.models.adapter import attached
from probate.models.inference.scoring import score_options
from probate.models.lm import load_lm
from probate.study.schema import Lora, ModelSpec, Training
from probate.train.examples import encode_records
from probate.train.sft import train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=48)
    parser.add_argument("--arms", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    args = parser.parse_args()
    rows = biographies()[:: max(1, 360 // (2 * args.records))][: 2 * args.records]
    labels = sorted({r["label"] for r in rows})
    found: dict[str, tuple[list[float], list[np.ndarray]]] = {}
    for name, layers, shared in (
        ("all layers", None, False),
        ("top layers", args.layers, False),
        ("trunk", args.layers, True),
    ):
        lm = load_lm(ModelSpec(name="embedded"))
        if not shared:
            lm.model.__dict__["_probate_trunks"] = {layers: None}
        seconds, values = [], []
        for arm in range(args.arms):
            records = [
                Record(
                    str(i),
                    r["text"],
                    labels[(labels.index(r["label"]) + (arm if i % 2 else 0)) % len(labels)],
                    {},
                )
                for i, r in enumerate(rows)
            ]
            examples, _ = encode_records(lm, with_messages(records[: args.records], PROMPT, labels), 512)
            prompts = [
                e.prompt
                for e in encode_records(lm, with_messages(records[args.records :], PROMPT, labels), 512)[0]
            ]
            settings = Training(epochs=3, lora=Lora(layers=layers))
            with tempfile.TemporaryDirectory() as out:
                start = time.perf_counter()
                train(lm.model, examples, settings, 0, Path(out), pad_id=lm.pad_id)
                with attached(lm.model, Path(out)) as model:
                    options = [lm.completion_ids(x) for x in labels]
                    scores = score_options(model, prompts, options, pad_id=lm.pad_id)
                seconds.append(time.perf_counter() - start)
                values += [np.array(json.loads((Path(out) / "losses.json").read_text())), scores]
        found[name] = seconds, values
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}; {args.records} records, three epochs, "
        f"{args.records} prompts scored, {args.layers} layers"
    )
    for name, (seconds, _) in found.items():
        print(f"{name:12} {', '.join(f'{s:.1f}' for s in seconds)} s an arm; {sum(seconds):.1f} s in all")
    apart = max(
        float(np.abs(a - b).max()) for a, b in zip(found["top layers"][1], found["trunk"][1], strict=True)
    )
    print(f"largest difference of a loss or a log-likelihood, top layers against trunk: {apart:.1e}")


if __name__ == "__main__":
    main()

"""What mixed precision changes: loss curves in float32 and mixed, compared with what seeds change.

    python benchmarks/precision.py [--data bios.jsonl] [--records 48] [--seeds 3] [--layers 6]

The same records in the same order are trained in both precisions, one adapter for each seed. Printed are the
mean loss of each epoch, the largest difference of a step's loss as a share of the curve's mean loss, the
difference of the mean loss, and the spread of the mean loss between seeds in float32. `--layers 0` adapts all
layers. The data are JSON lines with bio and occupation; default: built-in biographies.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from throughput import rows

from probate.core.records import fill
from probate.data.user_turn import BIOGRAPHY as PROMPT
from probate.models.lm import load_lm
from probate.study.schema import Lora, ModelSpec, Training
from probate.train.losses import Example
from probate.train.sft import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--records", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--model", default="embedded")
    args = parser.parse_args()
    pairs = rows(args.data, args.records)
    labels = sorted({label for _, label in pairs})
    settings = Training(epochs=args.epochs, learning_rate=1e-3, lora=Lora(layers=args.layers or None))
    curves: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for dtype in ("float32", "mixed"):
        lm = load_lm(ModelSpec.model_validate({"name": args.model, "dtype": dtype}))
        turn = [fill(PROMPT, text=text, labels=", ".join(labels)) for text, _ in pairs]
        examples = [
            Example(lm.prompt_ids([{"role": "user", "content": t}]), lm.completion_ids(label))
            for t, (_, label) in zip(turn, pairs, strict=True)
        ]
        own = []
        for seed in range(-1, args.seeds):  # the first is not counted: kernels, comparisons, the trunk
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as out:
                own.append(train(lm.model, examples, settings, max(seed, 0), Path(out), pad_id=lm.pad_id).losses)
            seconds[dtype] = (time.perf_counter() - start) if seed >= 0 else 0.0
        curves[dtype] = np.array(own[1:])
    tokens = np.mean([e.tokens for e in examples])
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; n = {len(pairs)}, "
        f"{tokens:.0f} tokens, {args.epochs} epochs, {args.layers or 'all'} layers, {args.seeds} seeds"
    )
    for dtype, curve in curves.items():
        means = curve.reshape(args.seeds, args.epochs, -1).mean((0, 2))
        print(f"{dtype:8} mean loss by epoch {', '.join(f'{m:.4f}' for m in means)}; {seconds[dtype]:.1f} s a seed")
    plain, mixed = curves["float32"], curves["mixed"]
    mean = plain.mean()
    print(f"largest difference of a step: {np.abs(mixed - plain).max() / mean:.2%} of the mean loss")
    print(f"difference of the mean loss, by seed: {', '.join(f'{d / mean:+.2%}' for d in (mixed - plain).mean(1))}")
    print(f"spread of the mean loss between seeds in float32 (standard deviation): {plain.mean(1).std(ddof=1) / mean:.2%}")


if __name__ == "__main__":
    main()

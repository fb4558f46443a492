"""What the alignment loss costs, and what it does to the distance of held-out records.

Against plain fine-tuning, in one run.

python benchmarks/alignment.py ORIGINAL AUGMENTED [--text bio] [--augmented-text text] [--records 40]
    [--turns 3] [--kinds plain,mean] [--length 600]

Two files of texts with a label column `occupation`. Half of each file's records are trained on (two epochs of
LoRA), the others held out. Plain and aligned training take turns on the same records; medians of seconds, and
‖E_o[φ] − E_a[φ]‖² of the held-out records.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from probate.core.records import Record, with_messages
from probate.data.rows import source_rows
from probate.data.user_turn import BIOGRAPHY as PROMPT
from probate.models.lm import load_lm
from probate.study.schema import ModelSpec, Training
from probate.train.distance import distance_before_after
from probate.train.examples import encode_records
from probate.train.settings import AlignSettings
from probate.train.sft import train

KINDS = {
    "plain": None,
    "mean": AlignSettings(),
    "mean, within label": AlignSettings(within_label=True),
    "mmd": AlignSettings(kind="mmd"),
    "coral": AlignSettings(kind="coral"),
}


def records(path: Path, column: str, origin: str, count: int, length: int) -> list[Record]:
    """`count` records, spread over the file."""
    rows = [row for _, row in source_rows(str(path), "train", Path()) if isinstance(row, dict)]
    picked = rows[:: max(1, len(rows) // count)][:count]
    return [
        Record(
            f"{origin[0]}:{i}",
            str(r[column])[:length],
            str(r["occupation"]),
            {},
            "augmented" if origin == "augmented" else "original",
        )
        for i, r in enumerate(picked)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("original", type=Path)
    parser.add_argument("augmented", type=Path)
    parser.add_argument("--text", default="bio")
    parser.add_argument("--augmented-text", default="text")
    parser.add_argument(
        "--records",
        type=int,
        default=40,
        help=(
            "of each file, half of them trained on; below 40 the eight steps without alignment are most of it"
        ),
    )
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--length", type=int, default=600, help="characters of a text")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    lm = load_lm(ModelSpec(name="embedded"))
    original = records(args.original, args.text, "original", 2 * args.records, args.length)
    augmented = records(args.augmented, args.augmented_text, "augmented", 2 * args.records, args.length)
    labels = sorted({r.label for r in [*original, *augmented]})
    seen, limit = [*original[::2], *augmented[::2]], 512
    examples, _ = encode_records(lm, with_messages(seen, PROMPT, labels), limit)
    settings = Training(epochs=2)
    kinds = {kind: KINDS[kind] for kind in args.kinds.split(",")}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    distances: dict[str, tuple[float, float]] = {}
    losses: dict[str, float] = {}
    for turn in range(args.turns):
        for kind, align in kinds.items():
            with tempfile.TemporaryDirectory() as out:
                start = time.perf_counter()
                log = train(lm.model, examples, settings, 0, Path(out), pad_id=lm.pad_id, align=align)
                seconds[kind].append(time.perf_counter() - start)
                losses[kind] = statistics.mean(log.losses[-4:])
                if turn == 0:
                    found = distance_before_after(
                        lm, Path(out), original[1::2], augmented[1::2], PROMPT, labels, limit
                    )
                    distances[kind] = found[:2]
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}; {len(seen)} records, {args.turns} turns"
    )
    plain = statistics.median(seconds["plain"])
    for kind, own in seconds.items():
        before, after = distances[kind]
        print(
            f"{kind:20} {statistics.median(own):6.1f} s ({min(own):.1f} to "
            f"{max(own):.1f}), {statistics.median(own) / plain:.2f} x plain; "
            f"distance {before:.3g} before, {after:.3g} after; last losses {losses[kind]:.3f}"
        )


if __name__ == "__main__":
    main()

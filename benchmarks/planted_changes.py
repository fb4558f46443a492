"""How often does an audit find a change that was planted in a real pair?

    python benchmarks/planted_changes.py ORIGINAL AUGMENTED [--share 0.2] [--repeat 5] [--budget 15m]

In the augmented file, this share of the women's texts with the label physician or surgeon gets the label nurse,
and this share of the men's nurse texts gets physician. Each repetition shuffles both files and draws other texts
to relabel, so that its training records, held-out records and seeds' draws differ, and runs `probate audit
--train` on them. A line for each repetition has the change of the gap, its interval and adjusted p, in chosen
labels and in probabilities, and whether the audit reports it. The mean over the repetitions estimates the size
of the planted change.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path

import probate as pb

TURNED = {("female", "physician"): "nurse", ("female", "surgeon"): "nurse", ("male", "nurse"): "physician"}


def planted(path: str, out: Path, share: float, seed: int) -> None:
    """Write a shuffled copy of a file, in which a share of the texts is relabelled."""
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    draw = random.Random(seed)
    draw.shuffle(rows)
    for row in rows:
        key = row["gender"], row["occupation"]
        if key in TURNED and draw.random() < share:
            row["occupation"] = TURNED[key]
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("original")
    parser.add_argument("augmented")
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--budget", default="15m")
    args = parser.parse_args()
    changes: dict[str, list[float]] = {}
    found: dict[str, int] = {}
    for turn in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            files = {
                "original": Path(folder) / "original.jsonl",
                "augmented": Path(folder) / "augmented.jsonl",
            }
            planted(args.original, files["original"], 0.0, 1000 + turn)
            planted(args.augmented, files["augmented"], args.share, turn)
            audit = pb.audit(
                str(files["augmented"]),
                str(files["original"]),
                train=args.budget,
                out=Path(folder) / "out",
                quiet=True,
            )
            effects = audit.record["train"]["effects"]
        said = []
        for e in effects:
            changes.setdefault(e["question"], []).append(e["estimate"])
            seen = e["p_adjusted"] is not None and e["p_adjusted"] < 0.05
            found[e["question"]] = found.get(e["question"], 0) + seen
            said.append(
                f"{e['question']} {100 * e['estimate']:+.1f} [{100 * e['ci_low']:+.1f}, {100 * e['ci_high']:+.1f}] "
                f"adjusted p {e['p_adjusted']:.4f}{' found' if seen else ''}"
            )
        print(f"repetition {turn}: {'; '.join(said)}; {effects[0]['seeds']} seeds", flush=True)
    for question, own in changes.items():
        print(
            f"{question}: mean change {100 * statistics.mean(own):+.1f} points; found in {found[question]} of {len(own)}"
        )


if __name__ == "__main__":
    main()

"""How often does an audit find a change that was planted in a real pair?

    python benchmarks/planted_changes.py ORIGINAL AUGMENTED [--share 0.2] [--repeat 5] [--budget 15m]

The change is planted in the augmented file: this share of it is biographies that the original file does not
have, with a wrong label. Biographies of women with the label physician or surgeon get the label nurse, and those
of men with the label nurse get physician. (Wrong labels on the CVs themselves are hardly inherited: with 95% of
them wrong, the gap on biographies changed by +1.9 points [-9.6, 13.5].) Each repetition draws other biographies
and other CVs, so that training records, held-out records and seeds' draws differ, and runs `probate audit --train`
on them. A line for each repetition has the change of the gap, its interval and adjusted p, in chosen labels and in
probabilities, and whether the audit reports it. The mean over the repetitions estimates the size of the planted
change.
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
HELD_BACK = 36
"""Biographies of each occupation and gender that the original file does not get."""


def read(path: str, draw: random.Random) -> list[dict[str, str]]:
    """Return the rows of a file in random order."""
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    draw.shuffle(rows)
    return rows


def write(rows: list[dict[str, str]], path: Path) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def planted(original: str, augmented: str, folder: Path, share: float, seed: int) -> tuple[Path, Path]:
    """Write an augmented file of which `share` is biographies with a wrong label, and its original file."""
    draw = random.Random(seed)
    kept, turned = [], []
    seen: dict[tuple[str, str], int] = {}
    for row in read(original, draw):
        key = row["gender"], row["occupation"]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > HELD_BACK:
            kept.append(row)
        elif key in TURNED:
            turned.append({"text": row["bio"], "gender": row["gender"], "occupation": TURNED[key]})
    written = [{k: r[k] for k in ("text", "gender", "occupation")} for r in read(augmented, draw)]
    written = written[: round(len(turned) / share) - len(turned)]
    turned = turned[: round(len(written) * share / (1 - share))]
    mixed = [*written, *turned]
    draw.shuffle(mixed)
    files = folder / "original.jsonl", folder / "augmented.jsonl"
    write(kept, files[0])
    write(mixed, files[1])
    return files


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
            original, augmented = planted(args.original, args.augmented, Path(folder), args.share, turn)
            audit = pb.audit(
                str(augmented),
                str(original),
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

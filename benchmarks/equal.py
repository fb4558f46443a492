"""Does this checkout give the outcomes and effects of an earlier revision?

Runs studies with both and compares row by row.

    python benchmarks/equal.py --rev v0.1.0 --out runs/equal self-written rounds preferences
    python benchmarks/equal.py --rev v0.1.0 --out runs/equal --small tour mitigations

Each run is one thread in a process of its own, with the installed libraries. `--small` keeps the arms, tasks
and stages of a study and reduces records, items, epochs and adapted layers. Numbers must agree to 9 digits,
all else exactly. Exit code 1 where something differs.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parents[1]
SMALL = [
    "data.train_per_cell=2", "data.test_per_cell=2", "seeds=[0,1]", "training.epochs=1",
    "training.lora.layers=2",
    "analysis.resamples=200",
]  # fmt: skip
KEYS = {
    "outcomes": ["arm", "task", "item_id"],
    "effects": [
        "question",
        "task",
        "metric",
        "contrast",
        "comparison",
        "bias_type",
        "ratio",
        "mitigation",
        "round",
    ],
}


def checkout(rev: str, out: Path) -> Path:
    """The sources of `rev` under `out`; returns the folder to import from.

    They come with the metadata by which its plug-ins are found.
    """
    packed = subprocess.run(["git", "archive", rev], cwd=HERE, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(out, filter="data")
    project = tomllib.loads((out / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = out / "src" / f"probate-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: probate\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    points = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in groups]
    (info / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
    return out / "src"


def run(source: Path, study: str, out: Path, settings: list[str]) -> None:
    """Run or continue a study with the package in `source`."""
    command = [sys.executable, "-m", "probate", "run", study, "--out", str(out)]
    command += [word for setting in settings for word in ("--set", setting)]
    own = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=own, check=True, stdout=subprocess.DEVNULL)


def differences(first: Path, second: Path, table: str) -> tuple[int, list[str]]:
    """Rows of a table, and what differs between two runs of it."""
    old, new = (pd.read_parquet(folder / f"{table}.parquet") for folder in (first, second))
    keys = [k for k in KEYS[table] if k in old]
    old, new = (t.sort_values(keys, kind="stable").reset_index(drop=True) for t in (old, new))
    try:
        pd.testing.assert_frame_equal(old, new[old.columns], rtol=1e-9, atol=1e-12)
    except (AssertionError, KeyError) as error:
        return len(new), [f"{table}: {line}" for line in str(error).splitlines()[:6]]
    more = [f"{table}: column '{name}' is new" for name in new.columns if name not in old]
    return len(new), more


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rev", required=True, help="the earlier revision")
    parser.add_argument(
        "--out", type=Path, required=True, help="where runs lie; finished ones are not run again"
    )
    parser.add_argument("--small", action="store_true", help="fewer records, items, epochs and layers")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("studies", nargs="+")
    args = parser.parse_args()
    out = args.out.resolve()
    sources = {"before": checkout(args.rev, out / "source"), "now": HERE / "src"}
    failed = False
    for study in args.studies:
        folders = []
        for name, source in sources.items():
            folders.append(out / name / f"{Path(study).stem}{'-small' if args.small else ''}")
            run(source, study, folders[-1], [*(SMALL if args.small else []), *args.settings])
        for table in ("outcomes", "effects"):
            rows, wrong = differences(*folders, table)
            print(f"{study}: {rows} {table} {'equal' if not wrong else 'DIFFER'}")
            print("".join(f"  {line}\n" for line in wrong), end="")
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""What a fairness sentence in the prompt does to generated biographies, in the wild.

Three generators, and one of them without it.

python benchmarks/constrain.py FOLDER

FOLDER is LABE's (language agency bias evaluation): `*_mitigated_prompt.csv` (biographies written under
"ensure that you display no biases in language agency"), `chatgpt_bios.csv` (the same generator without the
sentence), `lac_*.csv` (sentences labelled agentic 1 or communal 0). A logistic regression on words and word
pairs, trained on lac_train, labels sentences; a biography's value is its share of agentic sentences; the gap
is male minus female (and White minus Black), Welch's t over biographies, p by permutation.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

import pandas as pd
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from probate.data.packs import load_pack
from probate.mitigations.base import MitigationContext
from probate.mitigations.catalogue import load_mitigation
from probate.stats.contrast import Estimate, contrast
from probate.study.schema import Analysis

SIDES = {"gender": ("male", "female"), "race": ("White", "Black")}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def sentences(text: str) -> list[str]:
    return [s.strip() for s in re.split(r"(?<=[.!?])\s+|<return>", text) if len(s.split()) >= 4]


def gap(found: list[dict[str, str]], column: str, model: object, dimension: str, masked: bool) -> Estimate:
    """Share of agentic sentences, first group of `dimension` minus the second.

    `masked`: pronouns and names taken out first.
    """
    context = MitigationContext("gender", ["female", "male"], [], (load_pack("gender"),))
    masker = load_mitigation("mask").masker(context)  # type: ignore[attr-defined]
    values = []
    for number, row in enumerate(found):
        text = masker(row[column])[0] if masked else row[column]
        own = sentences(text)
        if row[dimension] in SIDES[dimension] and own:
            share = float((model.predict(own) == "1").mean())  # type: ignore[attr-defined]
            values.append(
                {"item_id": str(number), "side": SIDES[dimension].index(row[dimension]), "value": share}
            )
    return contrast([pd.DataFrame(values)], Analysis(), paired=False, share=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    train, test = rows(folder / "lac_train.csv"), rows(folder / "lac_test.csv")
    model.fit([r["text"] for r in train], [r["label"] for r in train])
    hits = int((model.predict([r["text"] for r in test]) == [r["label"] for r in test]).sum())
    low, high = binomtest(hits, len(test)).proportion_ci(method="wilson")
    print(f"classifier on lac_test: {hits / len(test):.3f} [{low:.3f}, {high:.3f}] (n {len(test)})")
    files = {"chatgpt, no sentence": ("chatgpt_bios.csv", "chatgpt_gen")}
    files |= {
        f"{g}, told": (f"{g}_bios_mitigated_prompt.csv", f"{g}_gen") for g in ("chatgpt", "llama3", "mistral")
    }
    told = {r["occupation"] for r in rows(folder / "chatgpt_bios_mitigated_prompt.csv")}
    for name, (file, column) in files.items():
        own = [r for r in rows(folder / file) if r[column] and (r["occupation"] in told or "told" in name)]
        for dimension, (first, second) in SIDES.items():
            for masked in (False, True):
                e = gap(own, column, model, dimension, masked)
                print(
                    f"{name:22}{first} − {second}{', masked first' if masked else '':16} "
                    f"{100 * e.value:+.1f} points [{100 * e.low:+.1f}, {100 * e.high:+.1f}], "
                    f"p {e.p:.3f} (n {e.n})"
                )


if __name__ == "__main__":
    main()

"""How much of a group can still be guessed from texts after masking, and after adding counterfactuals.

python benchmarks/cues.py FILE --text text --group gender [--label occupation]

A logistic regression on words and word pairs is trained to guess the group, cross-validated in five folds (a
text and what was made from it in one fold); accuracy with a Wilson interval. 0.5 is the floor for two groups
of equal size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline

from probate.core.records import Record
from probate.data.packs import load_pack
from probate.data.rows import source_rows
from probate.mitigations.base import MitigationContext, mitigate
from probate.mitigations.catalogue import load_mitigation


def accuracy(records: list[Record], dimension: str) -> str:
    """Of guessing the group from the text."""
    texts, groups = [r.text for r in records], np.array([r.groups[dimension] for r in records])
    parents = [r.id.split("~")[0] for r in records]
    hits = 0
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(texts, groups, parents):
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        )
        model.fit([texts[i] for i in train], groups[train])
        hits += int((model.predict([texts[i] for i in test]) == groups[test]).sum())
    low, high = binomtest(hits, len(groups)).proportion_ci(method="wilson")
    return f"{hits / len(groups):.3f} [{low:.3f}, {high:.3f}] (n {len(groups)})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--group", default="gender")
    parser.add_argument("--label")
    args = parser.parse_args()
    rows = [row for _, row in source_rows(str(args.file), "train", Path()) if isinstance(row, dict)]
    records = [
        Record(
            str(i), str(r[args.text]), str(r.get(args.label, "")), {"gender": str(r[args.group])}, "augmented"
        )
        for i, r in enumerate(rows)
    ]
    labels = sorted({r.label for r in records} - {""})
    context = MitigationContext("gender", ["female", "male"], labels, (load_pack("gender"),))
    print(f"as it is:                {accuracy(records, 'gender')}")
    for names, options in (
        (["mask"], {}),
        (["mask"], {"mode": "mask"}),
        (["mask"], {"entities": True}),
        (["counterfactual"], {}),
        (["counterfactual", "mask"], {}),
    ):
        found = mitigate(
            records, [load_mitigation(n, options if n == "mask" else {}) for n in names], context
        ).records
        title = "+".join(names) + (f" {options}" if options else "")
        print(f"{title + ':':25}{accuracy(found, 'gender')}")


if __name__ == "__main__":
    main()

"""How often masking finds what it must, and touches nothing else: precision and recall on labelled sentences.

    python benchmarks/masking.py [--file benchmarks/masking.txt] [--show]

The sentences and their labels were written for Probate (English); every identity pack is used. A label is
found if each of its words is replaced; a replacement is right if it touches a label. A verb that follows
«they» counts for neither. Each is given without and with `entities` (the tagger HanTa, extra `stories`), with
Wilson intervals of 95%. Higher is better.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from statsmodels.stats.proportion import proportion_confint

from probate.data.packs import load_pack, pack_names
from probate.mitigations.base import MitigationContext
from probate.mitigations.catalogue import load_mitigation
from probate.mitigations.mask import Mask
from probate.mitigations.wording.masker import Masker

FILE = Path(__file__).with_name("masking.txt")
Span = tuple[int, int]


def sentences(path: Path = FILE) -> Iterator[tuple[str, str, list[Span]]]:
    """(kind, sentence, labelled spans) of a file."""
    kind = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            pieces = re.split(r"\{\{|\}\}", line)
            ends = [sum(map(len, pieces[:i])) for i in range(len(pieces) + 1)]
            yield kind, "".join(pieces), [(ends[i], ends[i + 1]) for i in range(1, len(pieces), 2)]


def masker(entities: bool = False) -> Masker:
    packs = tuple(map(load_pack, pack_names()))
    mask = load_mitigation("mask", {"entities": entities})
    assert isinstance(mask, Mask)
    return mask.masker(MitigationContext("gender", [], [], packs, "en"))


def counted(text: str, labels: list[Span], call: Masker) -> tuple[int, int, int]:
    """(labels found, replacements right, replacements) of one sentence."""
    replaced, moved = [], 0
    for offset, before, after in call(text)[1]:
        start = offset - moved
        moved += len(after) - len(before)
        if not re.match(r"(?:and|but|or)\s", before):
            replaced.append((start, start + len(before)))
    words = [[(a + m.start(), a + m.end()) for m in re.finditer(r"\w+", text[a:b])] for a, b in labels]
    found = sum(all(any(a < y and x < b for x, y in replaced) for a, b in label) for label in words)
    right = sum(any(x < b and a < y for a, b in labels) for x, y in replaced)
    return found, right, len(replaced)


def share(part: int, whole: int) -> str:
    low, high = (100 * float(end) for end in proportion_confint(part, whole, method="wilson"))
    return f"{100 * part / whole:.1f}% [{low:.1f}, {high:.1f}] of {whole}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--show", action="store_true", help="print each sentence that is not as labelled")
    options = parser.parse_args()
    for entities in (False, True):
        call = masker(entities)
        kinds: dict[str, list[int]] = {}
        for kind, text, labels in sentences(options.file):
            found, right, replaced = counted(text, labels, call)
            for key in (kind, "all"):
                row = kinds.setdefault(key, [0, 0, 0, 0, 0])
                for place, value in enumerate((1, len(labels), found, replaced, right)):
                    row[place] += value
            if options.show and (found < len(labels) or right < replaced):
                print(f"{kind}: {text} → {call(text)[0]}")
        print(f"entities: {entities}")
        for kind, (count, labels_, found, replaced, right) in kinds.items():
            recall, precision = (
                share(a, b) if b else "none" for a, b in ((found, labels_), (right, replaced))
            )
            print(f"  {kind}: {count} sentences, recall {recall}, precision {precision}")


if __name__ == "__main__":
    main()

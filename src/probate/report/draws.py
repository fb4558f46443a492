"""Which records the seeds trained on, and so of what a result speaks: of these records, of this file, or of data drawn in this way."""

from __future__ import annotations

from collections.abc import Sequence

from probate.core.records import read_records
from probate.execution.folder import RunFolder
from probate.study.mixing import augmented_count
from probate.study.schema import Study

SAME, PARTLY, ANEW = "same", "partly", "anew"


def claim(folder: RunFolder) -> str:
    """Of what the study's results speak, in words; empty with one seed, which shows nothing of that."""
    study = folder.study()
    if len(study.seeds) < 2:
        return ""
    original = [[r.id for r in folder.original(seed)] for seed in study.seeds]
    augmented = _augmented(folder, study)
    said = [f"Original records: {_drawn(original)}."]
    if augmented:
        said.append(f"Augmented records: {_drawn(augmented)}.")
    return " ".join([*said, _speaks(study, kind(augmented or original))])


def kind(draws: Sequence[Sequence[str]]) -> str:
    """Whether the draws (ids of each seed) are the same records, partly the same, or have none in common."""
    distinct, total = len({i for own in draws for i in own}), sum(map(len, draws))
    return SAME if distinct == max(map(len, draws)) else ANEW if distinct == total else PARTLY


def _drawn(draws: Sequence[Sequence[str]]) -> str:
    distinct, each = len({i for own in draws for i in own}), max(map(len, draws))
    return {
        SAME: f"the same {each} in every seed",
        PARTLY: f"{each} drawn anew for each seed, {distinct} different ones in all",
        ANEW: f"{each} others in each of {len(draws)} seeds",
    }[kind(draws)]


def _speaks(study: Study, how: str) -> str:
    if how == SAME:
        return "So the results speak of these records; others from the same source may do otherwise, and how far is not in the intervals."
    if how == PARTLY or study.augmented is not None:
        return "So the results speak of the files that the records were drawn from."
    return "So the results speak of what this generator writes for these prompts, not only of what it wrote here."


def _augmented(folder: RunFolder, study: Study) -> list[list[str]]:
    """Ids of the augmented records of each seed at the largest γ, of the study's first bias type that all seeds have."""
    count = augmented_count(folder.info()["originals"], max(study.ratios))
    for bias_type in study.bias.types:
        paths = [folder.path / "data" / f"{bias_type}-s{seed}.jsonl" for seed in study.seeds]
        if count and all(p.exists() for p in paths):
            return [[r.id for r in read_records(p)[:count]] for p in paths]
    return []

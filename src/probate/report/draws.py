"""Which records the seeds trained on, and so to which data a result applies."""

from __future__ import annotations

from collections.abc import Sequence

from probate.core.records import read_records
from probate.execution.folder import RunFolder
from probate.study.mixing import augmented_count
from probate.study.schema import Study

SAME, PARTLY, ANEW = "same", "partly", "anew"


def claim(folder: RunFolder) -> str:
    """State to which data the results of a study apply.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    str
        Sentences: these records, the files they were drawn from, or all output of the generator. Empty with
        one seed, which does not show the variation between draws.
    """
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
    """Compare the draws of the seeds.

    Parameters
    ----------
    draws : sequence of sequence of str
        Record ids of each seed.

    Returns
    -------
    {"same", "partly", "anew"}
        Whether the draws are the same records, overlap in part, or have no record in common.
    """
    distinct, total = len({i for own in draws for i in own}), sum(map(len, draws))
    return SAME if distinct == max(map(len, draws)) else ANEW if distinct == total else PARTLY


def _drawn(draws: Sequence[Sequence[str]]) -> str:
    """Return how the records were drawn, in words."""
    distinct, each = len({i for own in draws for i in own}), max(map(len, draws))
    return {
        SAME: f"the same {each} in every seed",
        PARTLY: f"{each} drawn separately for each seed, {distinct} different ones in total",
        ANEW: f"{each} different ones in each of {len(draws)} seeds",
    }[kind(draws)]


def _speaks(study: Study, how: str) -> str:
    """Return a sentence on the data to which the results apply."""
    if how == SAME:
        return (
            "The results therefore apply to these records. Other records from the same source may give other "
            "results; the intervals do not cover that variation."
        )
    if how == PARTLY or study.augmented is not None:
        return "The results therefore apply to the files that the records were drawn from."
    return (
        "The results therefore apply to any texts of this generator for these prompts, not only to the "
        "texts used here."
    )


def _augmented(folder: RunFolder, study: Study) -> list[list[str]]:
    """Return the ids of each seed's augmented records at the largest γ, for the first complete bias type."""
    count = augmented_count(folder.info()["originals"], max(study.ratios))
    for bias_type in study.bias.types:
        paths = [folder.path / "data" / f"{bias_type}-s{seed}.jsonl" for seed in study.seeds]
        if count and all(p.exists() for p in paths):
            return [[r.id for r in read_records(p)[:count]] for p in paths]
    return []

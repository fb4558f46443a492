"""A data card: Markdown, in the order of "Datasheets for Datasets" (Gebru et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator

from probate.report.cards.facts import Facts


def data_card(facts: Facts) -> str:
    """Return the data card of a data set.

    Parameters
    ----------
    facts : Facts
        The facts of the data set.

    Returns
    -------
    str
        Markdown.

    References
    ----------
    Gebru et al. (2021), Datasheets for Datasets.
    """
    return "\n".join(_lines(facts)) + "\n"


def plain(text: str) -> str:
    """Escape a text for Markdown.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    str
        One line that contains no markup, end of a table cell or link.
    """
    text = " ".join(str(text).split())
    for mark in "\\`*_[]<>|#!":
        text = text.replace(mark, f"\\{mark}")
    return text


def _lines(f: Facts) -> Iterator[str]:
    """Yield the lines of the card."""
    yield f"# Data card: {plain(f.name)}"
    yield ""
    yield (
        f"Written by Probate {f.version} from the files in this folder. "
        "`checksums.json` has the SHA-256 of each file; `probate verify` checks them."
    )
    yield "\n## Motivation\n"
    yield plain(f.description)
    yield "\n## Composition\n"
    yield "| file | what | records |"
    yield "|---|---|---|"
    for file in f.files:
        yield f"| `{file.path.replace('`', '')}` | {plain(file.what)} | {file.records:,} |"
    yield "\nFields: " + "; ".join(f"`{name}`: {plain(what)}" for name, what in f.fields.items()) + "."
    for name, labels in f.cells.items():
        groups = sorted({g for counts in labels.values() for g in counts})
        yield f"\nRecords of `{name.replace('`', '')}` by label and {plain(f.dimension)}:\n"
        yield f"| label | {' | '.join(map(plain, groups))} |"
        yield "|---" * (len(groups) + 1) + "|"
        for label, counts in labels.items():
            yield f"| {plain(label)} | {' | '.join(f'{counts.get(g, 0):,}' for g in groups)} |"
    yield "\n## Collection and preprocessing\n"
    yield "Written by: " + "; ".join(map(plain, f.made_by)) + "."
    yield ""
    for step in f.steps:
        yield f"- {plain(step)}"
    yield "\n## Biases\n"
    for line in f.biases:
        yield f"- {plain(line)}"
    if f.results:
        yield "\n## Results\n"
        for line in f.results:
            yield f"- {plain(line)}"
    yield "\n## Uses and limits\n"
    for line in f.limits:
        yield f"- {plain(line)}"

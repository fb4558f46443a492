"""`probate review`: show the page until it is stopped, or merge what was marked."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probate.errors import InputError
from probate.folder import RunFolder
from probate.review.items import pairs_round, texts_round, write_round
from probate.review.marks import mark_file, merge, read_marks
from probate.review.server import ReviewServer

KINDS = ("groups", "pairs")


def home(folder: Path, what: str) -> Path:
    """Where a review's items and marks lie.

    Raises:
        InputError: an unknown kind of review.
    """
    if what not in KINDS:
        raise InputError(f"--what {what}: must be one of {', '.join(KINDS)}")
    return folder / "review" / what


def prepare(folder: Path, what: str, task: str, reviewer: str, most: int, port: int = 0) -> ReviewServer:
    """The server of a review, not yet serving."""
    place, run = home(folder, what), RunFolder(folder)
    run.study()
    shown = texts_round(run, most) if what == "groups" else pairs_round(run, task, most)
    write_round(place / "items.json", shown)
    return ReviewServer(shown, mark_file(place, reviewer), port)


def serve(
    folder: Path, what: str, task: str, reviewer: str, most: int, port: int, browser: bool, say: Callable[[str], Any]
) -> None:
    """Show the page until Ctrl-C."""
    server = prepare(folder, what, task, reviewer, most, port)
    own = read_marks(server.marks)
    here = len(set(own) & server.known)
    earlier = f" ({len(own) - here} of earlier rounds are kept)" if len(own) > here else ""
    say(
        f"{len(server.shown.items)} to read, {here} marked{earlier}; open {server.url}\nCtrl-C stops; marks are saved at once in {server.marks}"
    )
    if browser:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say(f"{len(set(read_marks(server.marks)) & server.known)} of {len(server.shown.items)} marked")
    finally:
        server.server_close()


def merge_marks(folder: Path, what: str) -> dict[str, Any]:
    """Merge, and write the report again; its path is `report`."""
    from probate.report.build import rebuild

    found = merge(home(folder, what))
    run = RunFolder(folder)
    return {**found, "report": str(rebuild(run))}


def lines(found: dict[str, Any]) -> list[str]:
    """A merged review in words."""
    by = ", ".join(f"{name} {n}" for name, n in found["reviewers"].items())
    e = found["agreement"]
    value = "not defined" if e["value"] is None else f"{e['value']:.2f}"
    said = [f"{found['question']} {found['items']} items read ({by}); agreement: {e['method']} {value} over {e['items']} items"]
    if found.get("no longer known"):
        said.append(
            f"{found['no longer known']} marks are of items that are in no round of this folder any more: kept, in agreement only"
        )
    if "detector" in found:
        for group, row in found["detector"].items():
            if isinstance(row, dict):
                precision, recall = ("–" if row[k] is None else f"{row[k]:.2f}" for k in ("precision", "recall"))
                said.append(f"the detector against people, {group}: precision {precision}, recall {recall} (n {row['n']})")
        if found["detector"]["as asked"] is not None:
            said.append(
                f"texts that show the group that was asked for: {100 * found['detector']['as asked']:.0f}% of those whose group is clear"
            )
    if "more_stereotyped" in found:
        n = found["more_stereotyped"]
        said.append(
            f"more stereotyped: the biased arm's text {n['biased']}, the control's {n['control']}, neither {n['neither']}"
        )
    return said

"""`probate review`: show the page until it is stopped, or merge what was marked."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.execution.folder import RunFolder
from probate.report.page import rebuild
from probate.report.review.items import pairs_round, texts_round, write_round
from probate.report.review.marks import mark_file, merge, read_marks
from probate.report.review.server import ReviewServer

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
    folder: Path,
    what: str,
    task: str,
    reviewer: str,
    most: int,
    port: int,
    browser: bool,
    say: Callable[[str], Any],
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
    record = merge(home(folder, what))
    return {**record, "report": str(rebuild(RunFolder(folder)))}

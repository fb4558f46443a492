"""`probate review`: serve the review page until it is stopped, or merge the marks."""

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
    """Return the folder of a review's items and marks.

    Parameters
    ----------
    folder : Path
        Run folder.
    what : {"groups", "pairs"}
        Kind of review.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The kind of review does not exist.
    """
    if what not in KINDS:
        raise InputError(f"--what {what}: must be one of {', '.join(KINDS)}")
    return folder / "review" / what


def prepare(folder: Path, what: str, task: str, reviewer: str, most: int, port: int = 0) -> ReviewServer:
    """Return the server of a review, not yet serving.

    Parameters
    ----------
    folder : Path
        Run folder.
    what : {"groups", "pairs"}
        Kind of review.
    task : str
        Task whose answers are compared in pairs.
    reviewer : str
        Name of the reviewer.
    most : int
        Largest number of items.
    port : int, default=0
        Port; 0 takes a free one.

    Returns
    -------
    ReviewServer
        The server.
    """
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
    """Serve the review page until Ctrl-C.

    Parameters
    ----------
    folder, what, task, reviewer, most, port
        As for `prepare`.
    browser : bool
        Whether to open the page in a browser.
    say : callable
        Prints a line.
    """
    server = prepare(folder, what, task, reviewer, most, port)
    own = read_marks(server.marks)
    here = len(set(own) & server.known)
    earlier = f" ({len(own) - here} marks of earlier rounds are kept)" if len(own) > here else ""
    say(
        f"{len(server.shown.items)} items, {here} marked{earlier}; open {server.url}\n"
        f"Press Ctrl-C to stop. Each mark is saved at once in {server.marks}"
    )
    if browser:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say(f"{len(set(read_marks(server.marks)) & server.known)} of {len(server.shown.items)} items marked")
    finally:
        server.server_close()


def merge_marks(folder: Path, what: str) -> dict[str, Any]:
    """Merge the marks of a review and write the report again.

    Parameters
    ----------
    folder : Path
        Run folder.
    what : {"groups", "pairs"}
        Kind of review.

    Returns
    -------
    dict
        The merged review; `report` is the path of the report.
    """
    record = merge(home(folder, what))
    return {**record, "report": str(rebuild(RunFolder(folder)))}

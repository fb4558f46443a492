"""The command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from probate.commands import (
    ask,
    audit,
    calibrate,
    card,
    check,
    compare,
    export,
    installed,
    merge,
    mitigate,
    new,
    plan,
    report,
    restore,
    review,
    run,
    status,
    tables,
    verify,
    why,
)
from probate.core.errors import UNEXPECTED, ProbateError, StageError, write_traceback
from probate.core.log_lines import JSON_LINES, emit
from probate.core.terminal import echo

LOG_JSON = "--log-json"


class _Kept(Exception):
    """Carry an error to `main`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Commands(TyperGroup):
    """Pass errors to `main` that Typer would end with exit code 1, which is that of the gate."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept(super().make_context, *args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept(super().invoke, *args, **kwargs)

    @staticmethod
    def _kept(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except (OSError, EOFError, KeyboardInterrupt) as error:
            raise _Kept(error) from error


app = typer.Typer(
    name="probate",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        echo(f"probate {version('probate')}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option(LOG_JSON, help="Print progress, warnings and errors as JSON lines on stderr."),
    ] = False,
) -> None:
    """Measure what a language model inherits from synthetic training data, why, and what prevents it."""
    if log_json:
        JSON_LINES.set(True)


for command in (
    run.run,
    merge.merge,
    status.status,
    plan.plan,
    calibrate.calibrate,
    report.report,
    tables.tables,
    verify.verify,
    card.card,
    review.review,
    ask.ask,
    audit.audit,
    compare.compare,
    check.check,
    installed.models,
    installed.tasks,
    installed.probes,
    installed.identities,
    mitigate.mitigate,
    restore.restore,
    installed.mitigations,
    export.export,
    new.new,
    installed.presets,
):
    app.command()(command)
app.add_typer(why.app)


def main() -> None:
    """Run the command line: an error becomes one sentence on stderr and an exit code."""
    if LOG_JSON in sys.argv[2:]:  # it may also come after the command
        sys.argv.remove(LOG_JSON)
        sys.argv.insert(1, LOG_JSON)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, so that a closed pipe is noticed
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(_told(error.error if isinstance(error, _Kept) else error))


def _say(text: str, code: int) -> int:
    """Print an error, and return its exit code."""
    if JSON_LINES.get():
        emit("error", text=text, exit=code)
    else:
        echo(text, err=True)
    return code


def _told(error: BaseException) -> int:
    """Print the error and return its exit code."""
    if isinstance(error, BrokenPipeError):
        # output that is left is discarded, also when the interpreter ends
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 141
    if isinstance(error, ProbateError):
        return _say(str(error), error.exit_code)
    if isinstance(error, OSError):
        said = f"{error.strerror or error}: {error.filename or 'a file'}; finished work is kept"
        return _say(said, StageError.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return _say("stopped; run the same command again to continue", 130)
    kind = type(error).__name__
    said = f"unforeseen error in Probate or in a plug-in ({kind}); traceback: {write_traceback(error)}"
    return _say(said, UNEXPECTED)

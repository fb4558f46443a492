"""The command line: commands, nothing else."""

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
    mitigate,
    new,
    plan,
    report,
    restore,
    review,
    run,
    verify,
    why,
)
from probate.core.errors import UNEXPECTED, ProbateError, StageError, write_traceback
from probate.core.terminal import echo


class _Kept(Exception):
    """An error on its way to `main`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Commands(TyperGroup):
    """Brings to `main` the errors that Typer would end with exit code 1, which is the gate's."""

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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version, and stop.")
    ] = False,
) -> None:
    """Shows what a language model inherits from synthetic training data, why, and what stops it."""


for command in (
    run.run,
    plan.plan,
    calibrate.calibrate,
    report.report,
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
    """Entry point: errors become one sentence on stderr and an exit code."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is noticed
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(_told(error.error if isinstance(error, _Kept) else error))


def _told(error: BaseException) -> int:
    """Say the error; returns its exit code."""

    if isinstance(error, BrokenPipeError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left to print goes nowhere, also at the interpreter's end
        return 141
    if isinstance(error, ProbateError):
        echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, OSError):
        echo(f"{error.strerror or error}: {error.filename or 'a file'}; what was finished is kept", err=True)
        return StageError.exit_code
    if isinstance(error, KeyboardInterrupt):
        echo("stopped; the same command continues", err=True)
        return 130
    kind = type(error).__name__
    echo(
        f"unforeseen error, a fault of Probate or of a plug-in ({kind}); traceback: {write_traceback(error)}",
        err=True,
    )
    return UNEXPECTED

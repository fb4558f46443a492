"""The command line, called in the process of a test."""

from __future__ import annotations

from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.errors import InputError


def probate(*args, error=None):
    result = CliRunner().invoke(app, [str(a) for a in args])
    if error:
        assert isinstance(result.exception, InputError) and error in str(result.exception), result.exception
        return ""
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output

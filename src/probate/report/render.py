"""Pages: one Jinja environment, style sheet and content security policy for every HTML file of Probate."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from probate.core.files import write_atomic
from probate.report.policy import guarded


@cache
def _environment() -> Environment:
    """Return the Jinja environment, which escapes values and loads templates by their path in the package."""
    return Environment(
        loader=PackageLoader("probate", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Render a template and write the page with its content security policy.

    Parameters
    ----------
    path : Path
        HTML file to write.
    template : str
        Path of the template in the package, such as `report/page.html.j2`. It extends
        `report/layout.html.j2`.
    **values
        Variables of the template. `version`, the version of Probate, is always set.

    Returns
    -------
    Path
        `path`.
    """
    page = _environment().get_template(template).render(version=version("probate"), **values)
    write_atomic(path, guarded(page))
    return path

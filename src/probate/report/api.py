"""A finished run, read from its folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from probate.folder import RunFolder
from probate.report.build import rebuild
from probate.study import Study


class Report:
    """The results in a run folder, as typed objects and frames. Reads files only; no model is loaded.

    Raises:
        InputError: the folder is no run folder, or a newer version of Probate wrote it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = RunFolder(Path(folder))
        self.study: Study = self._folder.study()

    @property
    def outcomes(self) -> pd.DataFrame:
        """One row an arm, task and item; `groups` as dictionaries."""
        return self._folder.outcomes()

    @property
    def effects(self) -> pd.DataFrame:
        """One row an effect; the columns are described in docs/tables.md."""
        return self._folder.effects()

    @property
    def failures(self) -> list[dict[str, str]]:
        """Stages that failed: stage, arm, error."""
        return self._folder.failures()

    def rebuild(self) -> Path:
        """Compute the effects again and write `report.html`; returns its path."""
        return rebuild(self._folder)

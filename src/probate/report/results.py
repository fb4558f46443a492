"""A finished run, read from its folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from probate.core.errors import InputError, nearest
from probate.core.records import read_records
from probate.execution.folder import RunFolder
from probate.report.page import rebuild
from probate.study.schema import Study


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

    @property
    def sets(self) -> list[str]:
        """Names of the record sets in the folder: what each kind of arm's augmented half was drawn from, and what was held out."""
        return sorted(p.stem for p in (self._folder.path / "data").glob("*.jsonl"))

    def records(self, name: str) -> pd.DataFrame:
        """One of `sets`, a row a record: id, text, label, origin, and a column for each dimension's group. `datasets.Dataset.from_pandas` takes it.

        Raises:
            InputError: no set of this name.
        """
        path = self._folder.path / "data" / f"{name}.jsonl"
        if name not in self.sets:
            raise InputError(
                f"{path}: no such set{nearest(name, self.sets)}; there are: {', '.join(self.sets)}"
            )
        rows = read_records(path)
        return pd.DataFrame(
            [{"id": r.id, "text": r.text, "label": r.label, "origin": r.origin, **r.groups} for r in rows]
        )

    def rebuild(self) -> Path:
        """Compute the effects again and write `report.html`; returns its path."""
        return rebuild(self._folder)

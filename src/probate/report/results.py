"""The results of a finished run, or of a grid of runs, read from the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from probate.core.errors import InputError, nearest
from probate.core.files import atomic, write_atomic
from probate.core.records import read_records
from probate.execution.folder import RunFolder
from probate.execution.folder_schema import EFFECTS, OUTCOMES, kept_groups, kept_json, kept_table
from probate.report import notebook, page
from probate.report import tables as layout
from probate.report.grid_page import write_grid_report, write_variants_report
from probate.study.grid import grid_of, part_columns, part_key, part_title
from probate.study.schema import Study

LOCK = "study.lock.yaml"
GRID = "grid.json"
"""File of a grid with the folder of each part, and its generator and learner, or its variant."""


class Run:
    """The results in a run folder. No model is loaded.

    Tables and failures are read at their first use, and kept. For the run that `run` returns they are read at
    once, so they do not change if the folder is run again. Findings, figures and records are read from the
    folder at each use.

    `run` returns a `Run`. The folder of an earlier run is opened by its path. The folder of a study with
    `axes` (a grid: a run for each pair of generator and learner, or for each variant) is opened in the same
    way; `pairs` or `variants` holds its runs.

    Parameters
    ----------
    folder : str or path
        The run folder.

    Attributes
    ----------
    folder : Path
        The run folder.
    study : Study
        The study in the folder. For a grid: the study of its first part, with the models of the finished
        pairs in `axes`.
    pairs : dict of (str, str) to Run
        For a grid of models, (generator, learner) → its run; else empty.
    variants : dict of str to Run
        For a grid of variants, name → its run; else empty.

    Raises
    ------
    InputError
        The folder is not a run folder, or a newer version of Probate wrote it.

    Examples
    --------
    >>> import probate as pb
    >>> run = pb.Run("runs/self-written")
    >>> run.exit_code
    0
    >>> sorted(run.effects["task"].unique())
    ['hiring', 'occupation', 'salary']
    >>> run.outcomes[["arm", "task", "item_id", "groups", "score"]].shape[1]
    5
    >>> run.report.name
    'report.html'
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._files = RunFolder(self.folder)
        self._held: dict[str, pd.DataFrame] = {}
        self._failures: list[dict[str, str]] | None = None
        self.parts: dict[tuple[str, ...], Run] = {}
        """For a grid, key of each part → its run."""
        if (self.folder / LOCK).exists() or not (self.folder / GRID).exists():
            self.study: Study = self._files.study()
            return
        entries = kept_json(self.folder, self.folder / GRID, list[dict[str, str]])
        try:
            named = {part_key(p): p["folder"] for p in entries}
        except KeyError as error:
            raise InputError(
                f"{self.folder / GRID}: key {error} is missing; run the study again into this folder"
            ) from None
        if not named or any(Path(name).name != name or name == ".." for name in named.values()):
            raise InputError(
                f"{self.folder / GRID}: must name a folder inside it for each part; run the study again "
                "into this folder"
            )
        self.parts = {key: Run(self.folder / name) for key, name in named.items()}
        studies = {key: run.study for key, run in self.parts.items()}
        first = next(iter(studies.values()))
        name = first.name.removesuffix(f"-{next(iter(studies))[0]}")
        self.study = first.model_copy(update={"axes": grid_of(studies), "name": name})

    @property
    def pairs(self) -> dict[tuple[str, str], Run]:
        """dict of (str, str) to Run: For a grid of models, (generator, learner) → its run; else empty."""
        return {(key[0], key[1]): run for key, run in self.parts.items() if len(key) == 2}

    @property
    def variants(self) -> dict[str, Run]:
        """dict of str to Run: For a grid of variants, name → its run; else empty."""
        return {key[0]: run for key, run in self.parts.items() if len(key) == 1}

    @property
    def outcomes(self) -> pd.DataFrame:
        """pandas.DataFrame: One row for each arm, task and item.

        docs/tables.md describes the columns. `score` is in the unit of the task (0 to 1 for shares), `groups`
        holds dictionaries (dimension → group). The table of a grid also has the columns `generator` and
        `learner`, or `variant`.
        """
        return self._table("outcomes")

    @property
    def effects(self) -> pd.DataFrame:
        """pandas.DataFrame: One row for each effect: estimate, interval, p, adjusted p and n.

        docs/tables.md describes the columns. The table of a grid also has the columns `generator` and
        `learner`, or `variant`.
        """
        return self._table("effects")

    def _table(self, name: str) -> pd.DataFrame:
        """Return a shallow copy of a table, which is read once."""
        if name not in self._held:
            own = self._files.outcomes if name == "outcomes" else self._files.effects
            self._held[name] = self._of_parts(name) if self.parts else own()
        return self._held[name].copy(deep=False)

    def _of_parts(self, name: str) -> pd.DataFrame:
        """Return a table of a grid."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            raise InputError(f"{self.folder}: {path.name} is missing; finish the run with: probate run")
        table = kept_table(self.folder, path, OUTCOMES if name == "outcomes" else EFFECTS)
        if name == "outcomes":
            table["groups"] = kept_groups(path, table["groups"])
        return table

    def held(self) -> Run:
        """Read tables and failures now, so that later changes of the folder do not affect them."""
        _ = self.outcomes, self.effects, self.failures
        return self

    @property
    def findings(self) -> list[str]:
        """list of str: The findings of the report, one for each task; in a grid, each names its part."""
        if not self.parts:
            return page.sentences_of(self._files)
        return [
            f"{part_title(key)}: {finding}" for key, run in self.parts.items() for finding in run.findings
        ]

    @property
    def failures(self) -> list[dict[str, str]]:
        """list of dict: The failed stages: `stage`, `arm`, and `error` (one sentence)."""
        if self._failures is None:
            self._failures = self._files.failures()
        return list(self._failures)

    @property
    def exit_code(self) -> int:
        """int: The exit code of `probate run`: 0 if all stages finished, 3 if one failed."""
        return 3 if self.failures else 0

    @property
    def report(self) -> Path:
        """Path: The page of the report: `report.html`; for a grid, `grid.html`."""
        return self.folder / ("grid.html" if self.parts else "report.html")

    @property
    def sets(self) -> list[str]:
        """list of str: Names of the record sets: original, held-out and augmented records."""
        if self.parts:
            return [f"{run.folder.name}/{name}" for run in self.parts.values() for name in run.sets]
        return sorted(p.stem for p in (self.folder / "data").glob("*.jsonl"))

    def records(self, name: str) -> pd.DataFrame:
        """Return the records of one of `sets`.

        Parameters
        ----------
        name : str
            Name of the set.

        Returns
        -------
        pandas.DataFrame
            A row for each record: `id`, `text`, `label`, `origin`, and a column for the groups of each
            dimension.

        Raises
        ------
        InputError
            The set does not exist. The message lists the sets.

        Examples
        --------
        >>> import probate as pb
        >>> run = pb.Run("runs/self-written")
        >>> "held-out" in run.sets
        True
        >>> list(run.records("held-out").columns)
        ['id', 'text', 'label', 'origin', 'gender']
        """
        if name not in self.sets:
            raise InputError(
                f"{self.folder / 'data'}: no such set '{name}'{nearest(name, self.sets)}; available: "
                f"{', '.join(self.sets)}"
            )
        pair, _, own = name.rpartition("/")
        rows = read_records(self.folder / pair / "data" / f"{own}.jsonl")
        return pd.DataFrame(
            [{"id": r.id, "text": r.text, "label": r.label, "origin": r.origin, **r.groups} for r in rows]
        )

    @property
    def figures(self) -> list[str]:
        """list of str: Names of the figures that `plot` draws."""
        if self.parts:
            return [f"{run.folder.name}/{name}" for run in self.parts.values() for name in run.figures]
        return page.Charts(self._files).names()

    def plot(self, name: str) -> notebook.Figure:
        """Draw one of the report's figures.

        Parameters
        ----------
        name : str
            One of `figures`: `dose` (levels and gap over the bias ratio γ) and `forest` (changes of the gap
            with intervals), each also for one task (`dose-occupation`); `shares` (predicted labels by group);
            if the study has them, `frontier` (mitigations), `rounds`, `lineage`, and `map` (augmented against
            original texts). For a grid, the name starts with the folder of the part (`FOLDER/dose`).

        Returns
        -------
        Figure
            A notebook shows it; `save` writes it.

        Raises
        ------
        InputError
            The figure does not exist. The message lists the figures.

        Examples
        --------
        >>> import probate as pb
        >>> run = pb.Run("runs/self-written")
        >>> run.plot("dose-occupation")
        <Figure dose-occupation>
        """
        if name not in self.figures:
            raise InputError(
                f"plot: no figure '{name}'{nearest(name, self.figures)}; available: {', '.join(self.figures)}"
            )
        pair, _, own = name.rpartition("/")
        files = RunFolder(self.folder / pair) if pair else self._files
        return notebook.figure_of(name, page.Charts(files).draw(own))

    def tables(self, form: str = "md", metrics: Sequence[str] = ()) -> str:
        """Lay out the results as tables of group x γ x bias type, as the paper does.

        Parameters
        ----------
        form : {"md", "tex", "csv"}, default "md"
            Markdown, LaTeX (booktabs), or CSV with unrounded values.
        metrics : sequence of str, optional
            Measures to show, such as `accuracy`. Default: the primary measure of each task, and its accuracy.

        Returns
        -------
        str
            The tables. Intervals are in brackets. Stars mark changes of a gap by their adjusted p.

        Raises
        ------
        InputError
            The form or a metric does not exist.

        Examples
        --------
        >>> import probate as pb
        >>> run = pb.Run("runs/self-written")
        >>> run.tables("csv").splitlines()[0][:11]
        'task,metric'
        """
        if form not in layout.FORMATS:
            raise InputError(f"tables: unknown form '{form}'; use one of {', '.join(layout.FORMATS)}")
        return layout.FORMATS[form](self.result_tables(metrics))

    def result_tables(self, metrics: Sequence[str] = ()) -> list[layout.ResultTable]:
        """Return the tables as data. In a grid, each title names its part."""
        if not self.parts:
            return page.tables_of_run(self._files, metrics)
        return [
            replace(table, title=f"{' → '.join(key)}: {table.title}")
            for key, run in self.parts.items()
            for table in run.result_tables(metrics)
        ]

    def rebuild(self) -> Path:
        """Compute the effects from the outcomes again and write the report. No model is loaded.

        Returns
        -------
        Path
            The page of the report.
        """
        self._held.clear()
        if not self.parts:
            return page.rebuild(self._files)
        for run in self.parts.values():
            run.rebuild()
        write_grid(self.folder, self.study, self.parts, self.failures)
        return self.report

    def _summary(self) -> str:
        """Return a summary of the run in one line."""
        effects, outcomes = self.effects, self.outcomes
        arms = outcomes[
            [c for c in ("generator", "learner", "variant", "arm") if c in outcomes]
        ].drop_duplicates()
        items = outcomes.groupby("task")["item_id"].nunique()
        tasks = ", ".join(f"{task} ({n} items)" for task, n in items.items())
        return (
            f"{len(arms)} arms on {self.study.model.name}; {tasks}; {len(effects)} effects; "
            f"{len(self.failures) or 'no'} failure{'s' * (len(self.failures) != 1)}"
        )

    def __repr__(self) -> str:
        try:
            lines = [f"<Run {self.study.name} in {self.folder}: {self._summary()}>"]
            lines += [f"- {finding}" for finding in self.findings]
            return "\n".join(lines + [f"! {f['stage']}: {f['error']}" for f in self.failures])
        except InputError as error:  # the run was interrupted, or a file was changed
            return f"<Run {self.study.name} in {self.folder}: {error}>"

    def _repr_html_(self) -> str | None:
        try:
            return self._shown()
        except InputError:  # a notebook shows the text instead
            return None

    def _shown(self) -> str:
        """Return the HTML that a notebook shows."""
        failed = [f"Failed: {f['stage']}: {f['error']}" for f in self.failures]
        title = f"{self.study.name}: {self._summary()}"
        columns = [
            "task",
            "contrast",
            "bias_type",
            "ratio",
            "estimate",
            "ci_low",
            "ci_high",
            "p_adjusted",
            "n",
        ]
        rows = self.effects
        rows = rows[rows["question"] == "inheritance"]
        shown = [c for c in ("generator", "learner", "variant") if c in rows] + columns
        return notebook.block(title, [*self.findings, *failed], rows[shown])


def write_grid(
    folder: Path,
    study: Study,
    done: Mapping[tuple[str, ...], Run],
    failures: Sequence[dict[str, str]],
    whole: bool = True,
) -> Run:
    """Write the tables, the page and the failures of a grid.

    Parameters
    ----------
    folder : Path
        Folder of the grid.
    study : Study
        Its study.
    done : mapping of tuple of str to Run
        (generator, learner) or (variant,) → its finished run.
    failures : sequence of dict
        The failures of all parts.
    whole : bool, default True
        Whether the runs are whole. Of shards, only the folders of the parts and the failures are written.

    Returns
    -------
    Run
        The grid.
    """
    parts: list[dict[str, Any]] = [{**part_columns(key), "folder": r.folder.name} for key, r in done.items()]
    write_atomic(folder / GRID, json.dumps(parts, indent=1, ensure_ascii=False))
    write_atomic(folder / "failures.json", json.dumps(list(failures), indent=1, ensure_ascii=False))
    if not whole:
        return Run(folder)
    tables = {
        name: pd.concat(
            [
                pd.read_parquet(r.folder / f"{name}.parquet").assign(**part_columns(key))
                for key, r in done.items()
            ],
            ignore_index=True,
        )
        for name in ("outcomes", "effects")
    }
    for name, table in tables.items():
        with atomic(folder / f"{name}.parquet") as part:
            table.to_parquet(part, index=False)
    variants = all(len(key) == 1 for key in done)
    write_report = write_variants_report if variants else write_grid_report
    write_report(folder, study, tables["effects"], {key: r.folder for key, r in done.items()}, failures)
    return Run(folder).held()

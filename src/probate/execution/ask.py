"""Measures the tasks of a study on a model behind a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from probate.core.errors import InputError
from probate.core.files import atomic
from probate.execution.prepare import read_data
from probate.execution.served import can_be_asked, measure_any
from probate.models.servers.client import ApiClient
from probate.study.schema import Study
from probate.tasks.catalogue import tasks_and_probes


def measure_study(
    study: Study,
    base: Path,
    client: ApiClient,
    out: Path,
    samples: int,
    tick: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Measure the study's tasks and probes on a server's model, as one arm `api`.

    Parameters
    ----------
    study : Study
        The study; nothing is trained.
    base : Path
        Folder that relative paths start from.
    client : ApiClient
        The server's client.
    out : Path
        Folder to which `outcomes.parquet` is written, for `probate compare`.
    samples : int
        As in `measure`.
    tick : callable, optional
        As in `measure`.

    Returns
    -------
    pandas.DataFrame
        The outcomes, one row for each item.

    Raises
    ------
    InputError
        A task cannot be measured on a server, or with this study.
    """
    context = read_data(study, base).context
    tasks = tasks_and_probes(study)
    for task in tasks:
        if not can_be_asked(task):
            raise InputError(
                f"ask: '{task.key}' needs the weights of a model and cannot be measured on a server; leave "
                "it out, for example with --set tasks=[occupation]"
            )
        task.check(context)
    frames = []
    for task in tasks:
        rows = [asdict(o) for o in measure_any(client, task, context, samples, tick)]
        fixed = {
            "study": study.name,
            "arm": "api",
            "bias_type": "none",
            "ratio": 0.0,
            "mitigation": "none",
            "method": "none",
            "round": 1,
            "seed": 0,
            "task": task.key,
            "metric": task.metric,
        }
        frames.append(
            pd.DataFrame([{**fixed, **r, "groups": json.dumps(r["groups"], sort_keys=True)} for r in rows])
        )
    table = pd.concat(frames, ignore_index=True)
    with atomic(out / "outcomes.parquet") as part:
        table.to_parquet(part, index=False)
    return table

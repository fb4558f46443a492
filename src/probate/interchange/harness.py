"""lm-evaluation-harness: run one of its tasks on an arm, or write a Probate task that it runs unchanged."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import yaml
from pydantic import Field

from probate.errors import InputError
from probate.files import write_atomic
from probate.fingerprint import content
from probate.registry import require
from probate.tasks.base import Measure, Options, Outcome, Task, TaskContext, Tick, everyone, frame
from probate.tasks.choice import ChoiceTask

if TYPE_CHECKING:
    from probate.models.lm import LM

PREFIX = "lm_eval:"
SHARES = ("acc", "acc_norm", "exact_match", "pct_stereotype", "f1")


class HarnessOptions(Options):
    path: str | None = Field(None, description="Folder with YAML tasks of your own, besides those that the harness brings.")
    metric: str = Field("acc", description="The metric of a sample that becomes the score.")
    limit: int | None = Field(None, ge=1, description="At most this many items, from the beginning.")
    chat: bool = Field(True, description="Put the prompt into the model's chat template.")


class HarnessTask(Task):
    """A task of lm-evaluation-harness, run by the harness itself; its samples become outcomes.

    It has no groups: what is inherited is the change of its metric. Higher is better for accuracies; the harness says
    what another metric means.
    """

    name = "lm_eval"
    title = "lm-evaluation-harness"
    metric = "acc"
    better = "higher"
    dimensions = ()
    relation = "indirect"
    source = "lm-evaluation-harness (Gao et al.)"
    option_type: ClassVar[type[Options]] = HarnessOptions
    harness: ClassVar[str] = ""

    def _loaded(self, context: TaskContext) -> Any:
        folder = str(context.base / self.options.path) if self.options.path else ""
        return _load(self.harness, folder, content(Path(folder)) if folder else "")

    def size(self, context: TaskContext) -> int:
        return min(len(self._loaded(context).eval_docs), self.options.limit or 10**9)

    def reads(self, context: TaskContext) -> list[Any]:
        """The harness's own version, the task's, its configuration and its items."""
        task = self._loaded(context)
        docs = list(islice(task.eval_docs, self.options.limit))
        told = [version("lm_eval"), getattr(task, "VERSION", None), task.dump_config(), docs]
        return [*super().reads(context), json.dumps(told, default=str, sort_keys=True)]

    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        task = self._loaded(context)
        evaluator: Any = require("lm_eval.evaluator", "harness")
        huggingface: Any = require("lm_eval.models.huggingface", "harness")
        wrapped = huggingface.HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=8)
        result = evaluator.simple_evaluate(
            model=wrapped, tasks=[task], limit=self.options.limit, apply_chat_template=self.options.chat,
            bootstrap_iters=0, verbosity=None,
        )  # fmt: skip
        (samples,) = result["samples"].values()
        found = [self._outcome(s) for s in sorted(samples, key=lambda s: int(s["doc_id"]))]
        if tick:
            tick(len(found))
        return found

    def _outcome(self, sample: dict[str, Any]) -> Outcome:
        if self.options.metric not in sample:
            raise InputError(
                f"tasks: {self.key}.options.metric: the harness gives no '{self.options.metric}' for a sample; it gives: {', '.join(sample['metrics'])}"
            )
        responses = sample["filtered_resps"]
        choices = [r[0] for r in responses if isinstance(r, (list, tuple))]
        prediction = str(int(np.argmax(choices))) if choices else str(responses[0])
        score = float(sample[self.options.metric])
        identity = f"{self.harness}-{int(sample['doc_id']):06d}"
        return Outcome(
            identity, {"set": self.harness}, str(sample["target"]), json.dumps(responses, default=str), prediction, score,
            bool(np.isfinite(score)),
        )  # fmt: skip

    def measures(self, context: TaskContext) -> list[Measure]:
        metric = self.options.metric

        def value(o: pd.DataFrame) -> pd.DataFrame:
            return frame(o, everyone(o), o["score"])

        better = "higher" if metric in SHARES and metric != "pct_stereotype" else "none"
        return [Measure(metric, metric, "share" if metric in SHARES else "score", "", ("all",), value, True, better)]


@cache
def harness_task(name: str) -> type[HarnessTask]:
    """The task class of `lm_eval:NAME`."""
    own = name.removeprefix(PREFIX)
    body = {"name": f"lm_eval-{own}", "title": f"{own} (lm-evaluation-harness)", "harness": own}
    return type(f"HarnessTask_{own}", (HarnessTask,), body)


@cache
def _load(name: str, folder: str, held: str) -> Any:
    """The task; `held` is the folder's content, so that a changed one is read again."""
    tasks: Any = require("lm_eval.tasks", "harness")
    manager = tasks.TaskManager(include_path=folder, include_defaults=False) if folder else None
    if manager is None or name not in manager.all_tasks:
        manager = tasks.TaskManager(include_path=folder or None)  # takes seconds: it reads all of the harness's tasks
    if name not in manager.all_tasks:
        raise InputError(f"tasks: lm-evaluation-harness has no task '{name}'; see `lm_eval ls tasks`, or give options.path")
    try:
        found = manager.load([name])["tasks"]
        task = next(iter(found.values()))
        len(task.eval_docs)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"tasks: {PREFIX}{name} cannot load its data ({first}); it may need the network, or a local copy of the data set"
        ) from None
    return task


def export(task: ChoiceTask, context: TaskContext, folder: Path) -> Path:
    """Write `probate_NAME.yaml` and its items for the harness; returns the YAML's path.

    `lm_eval --tasks probate_NAME --include_path FOLDER --apply_chat_template` then gives the same choices. An option is
    scored without the end of turn there, so that an option which begins another one is at an advantage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": i.id, "prompt": i.prompt, "choices": list(i.options), "names": list(i.names),
            "target": i.names.index(i.target), "groups": json.dumps(i.groups, ensure_ascii=False),
        }
        for i in task.items(context)
    ]  # fmt: skip
    data = folder / f"{task.key}.jsonl"
    write_atomic(data, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    config = {
        "task": f"probate_{task.key}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_choice": "choices",
        "doc_to_target": "target",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0, "source": task.source},
    }
    path = folder / f"probate_{task.key}.yaml"
    write_atomic(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return path

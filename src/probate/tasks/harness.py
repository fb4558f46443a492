"""lm-evaluation-harness: run one of its tasks on an arm, or export a Probate task to it."""

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
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field

from probate.core.consent import current_consent
from probate.core.errors import InputError, first_line
from probate.core.files import write_atomic
from probate.core.fingerprint import content
from probate.core.inputs import read_bounded
from probate.core.plugins import require
from probate.core.yaml_file import LARGEST, BoundedLoader, parsed
from probate.stats.measure import Measure, everyone, frame
from probate.tasks.base import Options, Outcome, Task, TaskContext, Tick
from probate.tasks.choice import ChoiceTask

if TYPE_CHECKING:
    from probate.models.lm import LM

PREFIX = "lm_eval:"
SHARES = ("acc", "acc_norm", "exact_match", "pct_stereotype", "f1")


class HarnessOptions(Options):
    path: str | None = Field(None, description="Folder with additional YAML tasks.")
    metric: str = Field("acc", description="The metric of a sample that is used as the score.")
    limit: int | None = Field(None, ge=1, description="Maximum number of items; the first ones are used.")
    chat: bool = Field(True, description="Put the prompt into the model's chat template.")


class HarnessTask(Task):
    """A task of lm-evaluation-harness. The harness runs it, and its samples become outcomes.

    The task has no groups: inheritance is the change of its metric. Higher is better for accuracies; for
    other metrics, see the harness.
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
        """Return the harness's version, and the task's version, configuration and items."""
        task = self._loaded(context)
        docs = list(islice(task.eval_docs, self.options.limit))
        parts = [version("lm_eval"), getattr(task, "VERSION", None), task.dump_config(), docs]
        return [*super().reads(context), json.dumps(parts, default=str, sort_keys=True)]

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
        outcomes = [self._outcome(s) for s in sorted(samples, key=lambda s: int(s["doc_id"]))]
        if tick:
            tick(len(outcomes))
        return outcomes

    def _outcome(self, sample: dict[str, Any]) -> Outcome:
        if self.options.metric not in sample:
            raise InputError(
                f"tasks: {self.key}.options.metric: the harness does not compute '{self.options.metric}' "
                f"for a sample; it computes: {', '.join(sample['metrics'])}"
            )
        responses = sample["filtered_resps"]
        choices = [r[0] for r in responses if isinstance(r, (list, tuple))]
        prediction = str(int(np.argmax(choices))) if choices else str(responses[0])
        score = float(sample[self.options.metric])
        identity = f"{self.harness}-{int(sample['doc_id']):06d}"
        return Outcome(
            identity, {"set": self.harness}, str(sample["target"]), json.dumps(responses, default=str),
            prediction, score, bool(np.isfinite(score)),
        )  # fmt: skip

    def measures(self, context: TaskContext) -> list[Measure]:
        metric = self.options.metric

        def value(o: pd.DataFrame) -> pd.DataFrame:
            return frame(o, everyone(o), o["score"])

        better = "higher" if metric in SHARES and metric != "pct_stereotype" else "none"
        return [
            Measure(
                name=metric,
                title=metric,
                unit="share" if metric in SHARES else "score",
                sides=("all",),
                values=value,
                primary=True,
                better=better,
            )
        ]


@cache
def harness_task(name: str) -> type[HarnessTask]:
    """Return the task class of `lm_eval:NAME`."""
    own = name.removeprefix(PREFIX)
    body = {"name": f"lm_eval-{own}", "title": f"{own} (lm-evaluation-harness)", "harness": own}
    return type(f"HarnessTask_{own}", (HarnessTask,), body)


def _load(name: str, folder: str, held: str) -> Any:
    """Load the task. `held` is the content of the folder, so that a changed folder is read again."""
    if folder and not current_consent().code:
        refuse_code(Path(folder))
    _sandbox()
    return _loaded(name, folder, held)


class _Plain(BoundedLoader):
    """A YAML loader for strings, lists and mappings only; a tag is an error."""


_Plain.yaml_implicit_resolvers = {}


def _tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(None, None, f"tag {suffix}", node.start_mark)


_Plain.add_multi_constructor("!", _tag)
_Plain.add_multi_constructor("tag:yaml.org,2002:python", _tag)
CODE = {"use_prompt", "custom_dataset", "class", "unsafe_code", "hf_evaluate"}
"""Keys of a harness task that name code: a class, a function that returns data, a metric that is downloaded.
"""
UNPICKLED = {"pandas", "webdataset"}
"""Readers of data files that may construct any object."""


def refuse_code(folder: Path) -> None:
    """Check every YAML file under `folder` without constructing any object.

    Raises
    ------
    InputError
        A file names code (a tag such as `!function`, a class, a metric that is downloaded, data that is
        unpickled), includes a file that is not checked, or cannot be read.
    """
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".yaml", ".yml")):
        why = _code_in(path, folder)
        if why:
            raise InputError(
                f"tasks: {path}: {why}; code in a study's files is not run: review it and allow it "
                "with --allow-code, or remove it"
            )


def _code_in(path: Path, folder: Path) -> str:
    """Return what in a YAML file would run code; empty if nothing would."""
    try:
        return _named(parsed(read_bounded(path, LARGEST), _Plain)[0], path, folder)
    except InputError as error:
        return str(error)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        return f"{where}{error.problem or 'not valid YAML'}"
    except yaml.YAMLError as error:
        return f"cannot be read ({type(error).__name__})"


def _named(value: Any, path: Path, folder: Path) -> str:
    """Return what in a part of a YAML file would run code; empty if nothing would."""
    if isinstance(value, list):
        return next((why for v in value if (why := _named(v, path, folder))), "")
    if not isinstance(value, dict):
        return ""
    for key, own in value.items():
        if key in CODE or (key == "trust_remote_code" and own != "false"):
            return f"the key '{key}' names code"
        if key == "dataset_path" and (
            own in UNPICKLED or any(Path(str(own)).glob("*.py")) or str(own).endswith(".py")
        ):
            return f"reading dataset_path {own} may run code"
        if key == "metric" and isinstance(own, str) and not _known_metric(own):
            return f"metric {own} is not built into the harness, and would be downloaded as code"
        if key == "include" and not all(
            _looked_at(path.parent / str(f), folder) for f in (own if isinstance(own, list) else [own])
        ):
            return f"include names a file that is not a .yaml file in {folder}"
        if why := _named(own, path, folder):
            return why
    return ""


def _known_metric(name: str) -> bool:
    registry: Any = require("lm_eval.api.registry", "harness")
    require("lm_eval.api.metrics", "harness")  # fills it
    return name in registry.metric_registry


def _looked_at(file: Path, folder: Path) -> bool:
    return file.suffix == ".yaml" and file.resolve().is_relative_to(folder.resolve())


def _sandbox() -> None:
    """Render templates of harness tasks in a sandbox without access to attributes that lead to code."""

    utils: Any = require("lm_eval.utils", "harness")
    if not isinstance(utils.env, ImmutableSandboxedEnvironment):
        safe = ImmutableSandboxedEnvironment(loader=utils.env.loader, undefined=utils.env.undefined)
        safe.filters.update(utils.env.filters)
        utils.env = safe


@cache
def _loaded(name: str, folder: str, held: str) -> Any:
    tasks: Any = require("lm_eval.tasks", "harness")
    manager = tasks.TaskManager(include_path=folder, include_defaults=False) if folder else None
    if manager is None or name not in manager.all_tasks:
        manager = tasks.TaskManager(
            include_path=folder or None
        )  # takes seconds: it reads all of the harness's tasks
    if name not in manager.all_tasks:
        raise InputError(
            f"tasks: lm-evaluation-harness has no task '{name}'; see `lm_eval ls tasks`, or set options.path"
        )
    try:
        loaded = manager.load([name])["tasks"]
        task = next(iter(loaded.values()))
        len(task.eval_docs)
    except Exception as error:
        raise InputError(
            f"tasks: {PREFIX}{name} cannot load its data ({first_line(error)}); "
            "it may need network access or a local copy of the data set"
        ) from None
    return task


def export(task: ChoiceTask, context: TaskContext, folder: Path) -> Path:
    """Write `probate_NAME.yaml` and its items for the harness.

    `lm_eval --tasks probate_NAME --include_path FOLDER --apply_chat_template` then offers the same choices.
    The harness does not score the end of turn, so an option that is a prefix of another has an advantage
    there.

    Parameters
    ----------
    task : ChoiceTask
        The task.
    context : TaskContext
        Data and settings.
    folder : pathlib.Path
        Folder to write to; it is created if needed.

    Returns
    -------
    pathlib.Path
        The YAML file.
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

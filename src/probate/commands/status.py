"""`probate status`."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred
from probate.core.progress import spoken

with deferred():
    from probate.execution import status as state


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Show how far a run is: one line for each arm, also while it runs elsewhere."""
    own = state.run_status(folder)
    width = max((len(a.arm) for a in own.arms), default=0)
    said = [f"shard {own.shard}"] if own.shard else []
    if own.active and not own.other and all(a.stage is None for a in own.arms):
        said.append("a run writes to this folder; it loads the model, or begins the next stage")
    said += [_doing(s) for s in own.other]
    said += [f"{a.arm:{width}}  {_state(a)}" for a in own.arms]
    counts = ", ".join(f"{n} {name}" for name, n in own.counts.items() if n)
    rate = "" if math.isnan(own.hourly) else f"; {own.hourly:.3g} arms an hour"
    if own.active and math.isfinite(own.hours_left):
        rate += f", about {spoken(3600 * own.hours_left)} left"
    said.append(f"{len(own.arms)} arm{'s' * (len(own.arms) != 1)}: {counts}{rate}")
    if not own.active and own.counts["finished"] < len(own.arms):
        shard = f", with --shard {own.shard}," if own.shard else ""
        said.append(f"no run writes to this folder now; the command that started it{shard} continues it")
    elif own.shard and not own.active:
        said.append("when all shards are finished: probate merge DIR DIR … --out DIR")
    record = {**asdict(own), "counts": own.counts, "hours_left": own.hours_left}
    give(said, record, as_json)


def _state(arm: state.ArmStatus) -> str:
    if arm.stage is not None and arm.state != "finished":
        return f"{arm.state}: {_doing(arm.stage)} ({arm.done} of {arm.total} stages finished)"
    return f"{arm.state}: {arm.error}" if arm.error else arm.state


def _doing(stage: state.StageStatus) -> str:
    where = f" on {stage.where}" if stage.where else ""
    return f"{stage.name}{where}, begun {spoken(stage.seconds)} ago"

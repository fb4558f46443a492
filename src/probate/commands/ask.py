"""`probate ask`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.commands.study_options import (
    BaseOption,
    CodeOption,
    ScaleOption,
    SetOption,
    StudyArgument,
    VariantOption,
    load_study,
)
from probate.core.consent import allow
from probate.core.deferred import deferred
from probate.core.progress import Reporter
from probate.core.servers import VENDORS, host_of

with deferred():
    from probate.execution import ask as asking
    from probate.models.servers import client as api
    from probate.models.servers import counts
    from probate.study import server


def ask(
    study: StudyArgument,
    server_model: Annotated[str, typer.Option("--model", help="Name of the model on the server.")],
    base_url: Annotated[
        str, typer.Option("--server", help="Address of the server, such as http://localhost:8000/v1.")
    ] = "https://api.openai.com/v1",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the outcomes; default: runs/NAME-MODEL.")
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--key-env",
            help="Environment variable with the key for the server; default: that of the vendor, else none.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", help="Largest number of concurrent requests.", min=1)
    ] = 8,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Budget in tokens; it is never exceeded.", min=1)
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples", help="Sampled answers per item, if the server gives no log-probabilities.", min=1
        ),
    ] = 8,
    overrides: SetOption = None,
    scale: ScaleOption = None,
    variant: VariantOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the tasks of a study on a model of an OpenAI-compatible server; compare with `probate compare`."""
    loaded, start = load_study(study, overrides, None, base, scale, variant)
    folder = out or Path("runs") / f"{loaded.name}-{server_model.replace('/', '-')}"
    host = host_of(base_url)
    bare = "http://" if base_url.startswith("http://") else ""
    spec = server.ApiSpec(
        model=server_model, base_url=base_url, key_env=key_env or VENDORS.get(host, ""),
        concurrency=concurrency, max_tokens_total=max_tokens,
    )  # fmt: skip
    with allow(
        code=allow_code, servers=[f"{bare}{host}={key_env}"] if key_env else [] if host in VENDORS else [host]
    ):
        client = api.ApiClient(spec, folder / "api-cache")
    with allow(code=allow_code), Reporter(quiet=quiet).stage("ask", 0, "items") as tick:
        table = asking.measure_study(loaded, start, client, folder, samples, tick)
    spent, path = client.ledger.spent, folder / "outcomes.parquet"
    scoring = sorted(set(table["scoring"]))
    said = (
        f"{len(table)} outcomes, {client.sent} requests, {spent.tokens:,} tokens; scored by "
        f"{', '.join(scoring)}"
    )
    record = {
        "outcomes": path, "items": len(table), "requests": client.sent, "prompt_tokens": spent.prompt,
        "answer_tokens": spent.answer, "scoring": scoring,
    }  # fmt: skip
    unusable = counts.counts(table)
    record |= {"notes": client.notes, "not_used": unusable}
    give([said, *client.notes, *counts.sentences(unusable, table), f"outcomes: {path}"], record, as_json)

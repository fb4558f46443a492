"""How requests travel: to the named address only, with the headers that they need, answers bounded, and nothing of them in a log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from probate.models.servers.bounds import bound

HEADERS = {
    "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding", "user-agent", "authorization",
}  # fmt: skip
"""All that a server is sent; the official client adds some of its own, from the environment too."""
OWN = {"openai-organization", "openai-project"}
"""For the vendor whose they are."""
OWNER = "api.openai.com"
LOGGERS = ("openai", "httpx", "httpcore", "httpx2", "httpcore2")
"""Of the official client and of what it speaks by, whichever it has."""


def http_client(openai: Any) -> Any:
    """A client that follows no redirect: prompts go to no other server."""

    async def strip(request: Any) -> None:
        sent = HEADERS | OWN if request.url.host == OWNER else HEADERS
        for name in set(request.headers) - sent:
            del request.headers[name]

    return openai.DefaultAsyncHttpxClient(
        follow_redirects=False, event_hooks={"request": [strip], "response": [bound]}
    )


@contextmanager
def unlogged() -> Iterator[None]:
    """Within it, the libraries that speak with servers log nothing: headers and reasons are a server's own words."""
    names = {*LOGGERS, *(name for name in logging.root.manager.loggerDict if name.startswith(LOGGERS))}
    levels = [(logger, logger.level) for logger in map(logging.getLogger, sorted(names))]
    for logger, _ in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)

"""HTTP transport: requests go only to the named address, with few headers, and nothing is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from probate.models.servers.bounds import bound

HEADERS = {
    "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding",
    "user-agent", "authorization",
}  # fmt: skip
"""Headers that are sent; those that the official client adds, also from the environment, are removed."""
OWN = {"openai-organization", "openai-project"}
"""Headers that only their vendor receives."""
OWNER = "api.openai.com"
LOGGERS = ("openai", "httpx", "httpcore", "httpx2", "httpcore2")
"""Loggers of the official client and of its HTTP libraries."""


def http_client(openai: Any) -> Any:
    """Return a client that follows no redirects, so that prompts go to no other server."""

    async def strip(request: Any) -> None:
        sent = HEADERS | OWN if request.url.host == OWNER else HEADERS
        for name in set(request.headers) - sent:
            del request.headers[name]

    return openai.DefaultAsyncHttpxClient(
        follow_redirects=False, event_hooks={"request": [strip], "response": [bound]}
    )


@contextmanager
def unlogged() -> Iterator[None]:
    """Disable logging of the HTTP libraries, because headers and reasons contain a server's own words."""
    names = {*LOGGERS, *(name for name in logging.root.manager.loggerDict if name.startswith(LOGGERS))}
    levels = [(logger, logger.level) for logger in map(logging.getLogger, sorted(names))]
    for logger, _ in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)

"""A server's answer is bounded before it fills memory: bytes are counted as they come, and none are unpacked."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

MOST_BYTES = 16_000_000
"""Of one answer, errors included."""
PLAIN = {"Accept-Encoding": "identity"}
"""A small packed answer can unpack to any size; so none is asked for, and none is taken."""


class UnboundedAnswer(Exception):
    """An answer that is larger than `MOST_BYTES`, or packed."""


async def bound(response: Any) -> None:
    """Hook of the HTTP client, before an answer is read: lets its stream end with an error at `MOST_BYTES`.

    Raises:
        UnboundedAnswer: the answer is packed.
    """
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        raise UnboundedAnswer(
            f"an answer packed as {packed[:40]!r}, though a plain one was asked for; it was not read"
        )
    library = sys.modules[
        type(response).__module__.partition(".")[0]
    ]  # httpx, or what the installed openai uses in its place
    stream = response.stream

    class Bounded(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for part in stream:
                size += len(part)
                if size > MOST_BYTES:
                    raise UnboundedAnswer(f"an answer larger than {MOST_BYTES // 1_000_000} MB, cut off")
                yield part

        async def aclose(self) -> None:
            await stream.aclose()

    response.stream = Bounded()

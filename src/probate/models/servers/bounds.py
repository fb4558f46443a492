"""Limits on the size of a server's answers: bytes are counted on arrival, nothing is decompressed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

MAX_BYTES = 16_000_000
"""Maximum size of one answer in bytes, error messages included."""
PLAIN = {"Accept-Encoding": "identity"}
"""Headers that request uncompressed answers, because a small compressed answer can have any size."""


class UnboundedAnswer(Exception):
    """An answer that is larger than `MAX_BYTES`, or compressed."""


async def bound(response: Any) -> None:
    """Limit an answer's stream to `MAX_BYTES`; a hook that the HTTP client calls before it reads the answer.

    Raises
    ------
    UnboundedAnswer
        The answer is compressed.
    """
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        raise UnboundedAnswer(
            f"the answer is compressed ({packed[:40]!r}) although an uncompressed one was requested; it was "
            "not read"
        )
    library = sys.modules[
        type(response).__module__.partition(".")[0]
    ]  # httpx, or its replacement in the installed openai
    stream = response.stream

    class Bounded(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for part in stream:
                size += len(part)
                if size > MAX_BYTES:
                    raise UnboundedAnswer(
                        f"the answer is larger than {MAX_BYTES // 1_000_000} MB and was cut off"
                    )
                yield part

        async def aclose(self) -> None:
            await stream.aclose()

    response.stream = Bounded()

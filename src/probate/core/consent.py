"""What the user allows for a time, which no study may allow itself: code that a folder of tasks brings, and servers with their keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from probate.core.errors import InputError


@dataclass(frozen=True)
class Consent:
    """`servers`: host (or host:port) → the variable whose value may go there as key; "" for none."""

    code: bool = False
    servers: Mapping[str, str] = field(default_factory=dict)


NOTHING = Consent()

_given: ContextVar[Consent] = ContextVar("probate_consent", default=NOTHING)


def given() -> Consent:
    """What is allowed now."""
    return _given.get()


def read_servers(lines: Iterable[str], where: str) -> dict[str, str]:
    """`HOST` or `HOST=VARIABLE` (a port may follow the host) as host → variable; `http://` before it lets the key go there without encryption.

    Raises:
        InputError: a line that is neither.
    """
    found = {}
    for line in lines:
        host, _, variable = (part.strip() for part in line.partition("="))
        if not re.fullmatch(
            r"(?:http://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d+)?", host
        ) or not re.fullmatch(r"\w*", variable):
            raise InputError(f"{where}: must be HOST or HOST=VARIABLE, as in api.example.org=MY_KEY")
        found[host.lower()] = variable
    return found


@contextmanager
def allow(*, code: bool = False, servers: Sequence[str] = ()) -> Iterator[None]:
    """Allow code of harness tasks, and servers as `HOST` or `HOST=VARIABLE`, in what runs inside; on top of what is allowed already.

    Raises:
        InputError: a server that is no host.
    """
    own = given()
    token = _given.set(Consent(own.code or code, {**own.servers, **read_servers(servers, "--server")}))
    try:
        yield
    finally:
        _given.reset(token)

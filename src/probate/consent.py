"""What the user allows for a time, which no study may allow itself: code that a folder of tasks brings, and servers with their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


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


@contextmanager
def allow(*, code: bool = False, servers: Sequence[str] = ()) -> Iterator[None]:
    """Allow code of harness tasks, and servers as `HOST` or `HOST=VARIABLE`, in what runs inside; on top of what is allowed already.

    Raises:
        InputError: a server that is no host.
    """
    from probate.api.allowed import read_servers

    own = given()
    token = _given.set(Consent(own.code or code, {**own.servers, **read_servers(servers, "--server")}))
    try:
        yield
    finally:
        _given.reset(token)

"""Permissions of the user: running the code of a folder of tasks, and sending prompts and keys to servers.

A study cannot grant these permissions itself. They hold only inside a `with allow(...)` block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from probate.core.errors import InputError


@dataclass(frozen=True)
class Consent:
    """The permissions that are in force.

    Attributes
    ----------
    code : bool
        If True, a folder of harness tasks may run the code that its YAML files name.
    servers : mapping of str to str
        Host, or `host:port` → environment variable whose value may be sent there as the key; "" for no key.
    """

    code: bool = False
    servers: Mapping[str, str] = field(default_factory=dict)


NOTHING = Consent()

_current: ContextVar[Consent] = ContextVar("probate_consent", default=NOTHING)


def current_consent() -> Consent:
    """Return the permissions that are in force."""
    return _current.get()


def read_servers(lines: Iterable[str], where: str) -> dict[str, str]:
    """Parse a list of allowed servers.

    Parameters
    ----------
    lines : iterable of str
        `HOST` or `HOST=VARIABLE`. The host may have a port. `http://` before the host allows the key to be
        sent without encryption.
    where : str
        File or option that the lines come from, for errors.

    Returns
    -------
    dict of str to str
        Host in lower case → environment variable that holds the key; "" for no key.

    Raises
    ------
    InputError
        If a line has another form.
    """
    servers = {}
    for line in lines:
        host, _, variable = (part.strip() for part in line.partition("="))
        if not re.fullmatch(
            r"(?:http://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d+)?", host
        ) or not re.fullmatch(r"\w*", variable):
            raise InputError(f"{where}: must be HOST or HOST=VARIABLE, as in api.example.org=MY_KEY")
        servers[host.lower()] = variable
    return servers


@contextmanager
def allow(*, code: bool = False, servers: Sequence[str] = ()) -> Iterator[None]:
    """Grant permissions inside a `with` block, in addition to those that are in force.

    Parameters
    ----------
    code : bool, default False
        Allow a folder of harness tasks to run the code that its YAML files name.
    servers : sequence of str, optional
        Servers that prompts may be sent to: `HOST` or `HOST=VARIABLE`; see `read_servers`.

    Raises
    ------
    InputError
        If a server has another form.
    """
    outer = current_consent()
    token = _current.set(Consent(outer.code or code, {**outer.servers, **read_servers(servers, "--server")}))
    try:
        yield
    finally:
        _current.reset(token)


def grant(consent: Consent) -> None:
    """Put permissions in force for the rest of this process, such as those of the process that started it."""
    _current.set(consent)

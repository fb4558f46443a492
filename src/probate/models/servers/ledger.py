"""A budget in tokens and money that is reserved on disk before it is spent, so that no run, rerun or second process overruns it.

One file a run folder, one line an event: what a request can use at most is written before it is sent, what it used after its answer. A kill between
the two leaves the reservation charged.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from probate.core.cache import digest
from probate.core.errors import InputError, StageError
from probate.core.files import write_atomic
from probate.study.server import ApiSpec

LEDGER, SHARED = "api-ledger.jsonl", "api-ledger.shared"
"""A run folder's ledger; and what says of a pair of a grid that it has none of its own."""
VERSION = 1
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none
BINARY = getattr(os, "O_BINARY", 0)  # of Windows: a line ends with the one byte that was written


class Amount(NamedTuple):
    """Tokens of prompts and answers, and their price."""

    prompt: int = 0
    answer: int = 0
    money: float = 0.0

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        return Amount(
            self.prompt + sign * other.prompt,
            self.answer + sign * other.answer,
            max(0.0, self.money + sign * other.money),
        )

    @property
    def tokens(self) -> int:
        return self.prompt + self.answer


@dataclass(frozen=True)
class Reservation:
    """What a request under way may use at most; `id` is its name in the file."""

    id: str
    most: Amount


def ledger_path(folder: Path) -> Path:
    """The ledger of a run folder: its own, or where it is a pair of a grid (`share_ledger`) that of the grid, the folder that it lies in.

    Raises:
        InputError: a pair that has a ledger of its own, too, and either would forget what the other holds.
    """
    own = folder / LEDGER
    if not os.path.lexists(folder / SHARED):
        return own
    if os.path.lexists(own):
        raise InputError(
            f"{own}: the ledger of its grid counts for it, too, and a budget counts one; start a new folder "
            "(--out)"
        )
    return folder.absolute().parent / LEDGER


def share_ledger(grid: Path, spec: ApiSpec, pairs: Iterable[Path]) -> None:
    """Begin the ledger of a grid, for all its pairs.

    Raises:
        InputError: a pair has a ledger of its own.
    """
    Ledger(spec, grid / LEDGER).begin()
    for pair in pairs:
        write_atomic(pair / SHARED, f"requests of this pair stand in ../{LEDGER}\n")
        ledger_path(pair)


class Ledger:
    """What was spent by all that share the file, and what requests under way, or cut off by a kill, may have spent.

    Parameters
    ----------
    spec
        The budget and the prices.
    path
        The file; made by the first reservation.
    kept
        Answers that lie in the cache: fewer requests than that in the ledger, and it is not whole.
    """

    def __init__(self, spec: ApiSpec, path: Path, kept: int = 0) -> None:
        self.spec, self.path, self.kept = spec, path, kept
        self.settled, self.spent = Amount(), Amount()
        """Of all who share the file, and of this object."""
        self._open: dict[str, Amount] = {}
        self._requests = 0
        self._unknown = False
        self._seal, self._line, self._at = "", 0, 0
        self._file: tuple[int, int] | None = None
        self._threads = threading.Lock()

    def price(self, prompt: int, answer: int) -> float:
        return (prompt * self.spec.price_in + answer * self.spec.price_out) / 1_000_000

    @property
    def charged(self) -> Amount:
        """Spent, and set aside."""
        total = self.settled
        for most in self._open.values():
            total = total.plus(most)
        return total

    def begin(self) -> None:
        """Make the file where there is none, and read what it holds."""
        with self._held():
            pass

    def reserve(self, prompt: int, answer: int) -> Reservation:
        """Set aside, on disk, what a request can use at most.

        Raises:
            StageError: it would overrun the budget; says what was spent and what there is.
            InputError: the ledger is not as it was written, or does not cover the answers that are there.
        """
        most = Amount(prompt, answer, self.price(prompt, answer))
        with self._held() as handle:
            self._check(most)
            found = Reservation(secrets.token_hex(8), most)
            self._append(handle, "reserved", found.id, most, sync=True)
            return found

    def settle(self, reservation: Reservation, prompt: int, answer: int) -> None:
        """Book what a request used; the rest of what it had set aside is free again."""
        used = Amount(prompt, answer, self.price(prompt, answer))
        with self._held() as handle:
            self._append(
                handle, "used", reservation.id, used, sync=False
            )  # lost by a power cut: the reservation stands
            self.spent = self.spent.plus(used)

    def _check(self, most: Amount) -> None:
        tokens, money, now = self.spec.max_tokens_total, self.spec.max_cost, self.charged
        if (tokens is not None or money is not None) and (self._unknown or self.kept > self._requests):
            raise InputError(
                f"{self.path}: it does not hold all requests whose answers lie in api-cache, so what was "
                "spent is not known; put the whole file back, "
                "start a new folder (--out), or leave the budget out"
            )
        if tokens is not None and now.tokens + most.tokens > tokens:
            raise StageError(
                f"api budget: {now.tokens:,} of {tokens:,} tokens are spent or set aside, another request "
                f"may take {most.tokens:,}; "
                "raise max_tokens_total to go on (what was answered is kept)"
            )
        if money is not None and now.money + most.money > money:
            raise StageError(
                f"api budget: {now.money:.4f} of {money:g} is spent or set aside, another request may take "
                f"{most.money:.4f}; "
                "raise max_cost to go on (what was answered is kept)"
            )

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The file, held against other threads and processes, and read to its end."""

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._threads, FileLock(str(self.path.with_name(".api-ledger.lock"))):
                handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NOFOLLOW | BINARY, 0o666)
                try:
                    self._catch_up(handle)
                    yield handle
                finally:
                    os.close(handle)
        except OSError as error:
            path = error.filename or self.path  # the lock, where it is that
            if error.errno == errno.ELOOP:
                raise InputError(
                    f"{path}: a symbolic link, through which nothing is written; remove it"
                ) from None
            raise StageError(
                f"{path}: the ledger cannot be written ({error.strerror or error}), and nothing is asked "
                "without it; make room or mend the rights"
            ) from None

    def _catch_up(self, handle: int) -> None:
        """Read what was added since the last call."""
        now = os.fstat(handle)
        if not stat.S_ISREG(now.st_mode):
            raise InputError(f"{self.path}: no regular file; remove it, or choose another folder with --out")
        if self._file not in (None, (now.st_dev, now.st_ino)) or now.st_size < self._at:
            raise self._changed()
        self._file = now.st_dev, now.st_ino
        data = _read(handle, self._at)
        *whole, torn = data.split(b"\n")
        for line in whole:
            self._take(line)
            self._at += len(line) + 1
        if torn:
            self._mend(handle, torn)
        if not self._line:
            self._write(
                handle, {"ledger": VERSION, "before": "unknown" if self.kept else "nothing"}, sync=True
            )
            _sync_folder(self.path.parent)

    def _mend(self, handle: int, torn: bytes) -> None:
        """A last line without its end: kept if only the end is missing; else cut off by a kill, before a request was sent or while one was settled."""
        try:
            entry = json.loads(torn)
            whole = isinstance(entry, dict) and entry.get("seal") == self._sealed(entry)
        except (ValueError, RecursionError):
            whole = False
        if whole:
            os.write(handle, b"\n")
            self._take(torn)
            self._at += len(torn) + 1
        else:
            os.ftruncate(handle, self._at)
        os.fsync(handle)

    def _sealed(self, entry: dict[str, Any]) -> str:
        """What ends a line: a hash of it and of the lines before."""
        return digest(self._seal, {k: v for k, v in entry.items() if k != "seal"})[:32]

    def _take(self, line: bytes) -> None:
        """Book one line.

        Raises:
            InputError: it is none that Probate wrote here.
        """
        try:
            entry = json.loads(line)
            if entry["seal"] != self._sealed(entry):
                raise ValueError("seal")
            if self._line == 0:
                if entry["ledger"] != VERSION:
                    raise ValueError("version")
                self._unknown = entry["before"] != "nothing"
            else:
                self._book(entry["what"], entry["id"], _amount(entry))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._changed() from None
        self._seal = entry["seal"]
        self._line += 1

    def _book(self, what: str, name: str, amount: Amount) -> None:
        if not amount.money:  # asked without a price: counted at the one that there is now, not as free
            amount = amount._replace(money=self.price(amount.prompt, amount.answer))
        if what == "reserved" and name not in self._open:
            self._open[name] = amount
            self._requests += 1
        elif what == "used":
            most = self._open.pop(name)
            if amount.prompt > most.prompt or amount.answer > most.answer:
                raise ValueError("more than was set aside")
            self.settled = self.settled.plus(amount)
        else:
            raise ValueError(what)

    def _append(self, handle: int, what: str, name: str, amount: Amount, sync: bool) -> None:
        self._write(handle, {"what": what, "id": name, **amount._asdict()}, sync)

    def _write(self, handle: int, entry: dict[str, Any], sync: bool) -> None:
        line = json.dumps({**entry, "seal": self._sealed(entry)}).encode()
        if os.write(handle, line + b"\n") != len(line) + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fsync(handle)
        self._take(line)
        self._at += len(line) + 1

    def _changed(self) -> InputError:
        return InputError(
            f"{self.path}, line {self._line + 1}: not as Probate wrote it, so what was spent is not known; "
            "put the file back as it was, "
            "or start a new folder (--out)"
        )


def read_ledger(path: Path, spec: ApiSpec | None = None) -> Ledger | None:
    """What the ledger at `path` holds, for showing, at the prices of `spec`; None where there is none. Nothing is written.

    Raises:
        InputError: it is not as it was written, or no file that can be read.
    """
    found = Ledger(spec or ApiSpec(model="-"), path)
    try:
        handle = os.open(path, os.O_RDONLY | NOFOLLOW | BINARY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); mend its rights, or remove it if it is a link"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{path}: no regular file; remove it, or choose another folder with --out")
        for line in _read(handle, 0).split(b"\n")[:-1]:  # a torn last line counts only once it is mended
            found._take(line)
    finally:
        os.close(handle)
    return found


def _read(handle: int, start: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    parts = []
    while part := os.read(handle, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _amount(entry: dict[str, Any]) -> Amount:
    """Of a line; tokens are whole and not negative, money is a finite number.

    Raises:
        ValueError: it is none.
    """
    prompt, answer, money = entry["prompt"], entry["answer"], entry["money"]
    if type(prompt) is not int or type(answer) is not int or type(money) is not float:
        raise ValueError("amount")
    if min(prompt, answer) < 0 or not 0 <= money < float("inf"):
        raise ValueError("amount")
    return Amount(prompt, answer, money)


def _sync_folder(folder: Path) -> None:
    """That a new file is in its folder survives a power cut; Windows opens no folders."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

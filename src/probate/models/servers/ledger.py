"""A budget in tokens and money that is reserved on disk before it is spent.

No run, rerun or second process can exceed it. Each run folder has one file with one line per event: the most
that a request can use is written before the request is sent, and its actual use after the answer. If the
process is killed in between, the reservation stays charged.
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
"""File name of a run folder's ledger, and of the marker in a grid's pair that uses the grid's ledger."""
VERSION = 1
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none
BINARY = getattr(os, "O_BINARY", 0)  # Windows only: keep line ends as written


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
    """The most that a pending request can use; `id` is its name in the file."""

    id: str
    most: Amount


def ledger_path(folder: Path) -> Path:
    """Return the ledger of a run folder; a pair of a grid uses the ledger of its grid (`share_ledger`).

    Raises
    ------
    InputError
        A pair has a ledger of its own as well, so that neither would be complete.
    """
    own = folder / LEDGER
    if not os.path.lexists(folder / SHARED):
        return own
    if os.path.lexists(own):
        raise InputError(
            f"{own}: its grid already has a ledger, and a budget uses only one; start a new folder (--out)"
        )
    return folder.absolute().parent / LEDGER


def share_ledger(grid: Path, spec: ApiSpec, pairs: Iterable[Path]) -> None:
    """Create the ledger of a grid, for all its pairs.

    Raises
    ------
    InputError
        A pair has a ledger of its own.
    """
    Ledger(spec, grid / LEDGER).begin()
    for pair in pairs:
        write_atomic(pair / SHARED, f"requests of this pair stand in ../{LEDGER}\n")
        ledger_path(pair)


class Ledger:
    """Amounts spent by all who share the file, or reserved by pending and interrupted requests.

    Parameters
    ----------
    spec : ApiSpec
        The budget and the prices.
    path : Path
        The file. The first reservation creates it.
    kept : int, default=0
        Number of answers in the cache. If the ledger has fewer requests, it is incomplete.
    """

    def __init__(self, spec: ApiSpec, path: Path, kept: int = 0) -> None:
        self.spec, self.path, self.kept = spec, path, kept
        self.settled, self.spent = Amount(), Amount()
        """Amounts spent by all who share the file, and by this object."""
        self._open: dict[str, Amount] = {}
        self.begun: set[str] = set()
        """Reservations of fine-tuning jobs that were begun. If one is missing, the ledger is incomplete."""
        self._jobs: dict[str, bool] = {}  # name of a fine-tuning job's reservation → whether it is settled
        self._requests = 0
        self._unknown = False
        self._seal, self._line, self._at = "", 0, 0
        self._file: tuple[int, int] | None = None
        self._threads = threading.Lock()

    def price(self, prompt: int, answer: int) -> float:
        return (prompt * self.spec.price_in + answer * self.spec.price_out) / 1_000_000

    def job_amount(self, tokens: int) -> Amount:
        """Return the amount of a fine-tuning job that trains on `tokens`, over all epochs."""
        price = self.spec.fine_tune.price if self.spec.fine_tune else 0.0
        return Amount(tokens, 0, tokens * price / 1_000_000)

    @property
    def charged(self) -> Amount:
        """Return the amount that is spent or reserved."""
        total = self.settled
        for most in self._open.values():
            total = total.plus(most)
        return total

    def begin(self) -> None:
        """Create the file if it is missing, and read it."""
        with self._held():
            pass

    def reserve(self, prompt: int, answer: int) -> Reservation:
        """Reserve the most that a request can use, on disk.

        Parameters
        ----------
        prompt, answer : int
            Maximum tokens of the prompt and of the answer.

        Returns
        -------
        Reservation
            To be passed to `settle`.

        Raises
        ------
        StageError
            The request could exceed the budget; the message states what was spent and what is available.
        InputError
            The ledger was changed, or does not cover the cached answers.
        """
        most = Amount(prompt, answer, self.price(prompt, answer))
        with self._held() as handle:
            self._check(most)
            reservation = Reservation(secrets.token_hex(8), most)
            self._append(handle, "reserved", reservation.id, most, sync=True)
            return reservation

    def reserve_job(self, name: str, tokens: int) -> None:
        """Reserve the most that a fine-tuning job can use, on disk; a name is reserved only once.

        Parameters
        ----------
        name : str
            Name of the reservation.
        tokens : int
            Maximum number of trained tokens, over all epochs.

        Raises
        ------
        StageError
            The job could exceed the budget.
        InputError
            The ledger was changed, or does not cover the cached answers.
        """
        most = self.job_amount(tokens)
        with self._held() as handle:
            if name not in self._jobs:
                self._check(most, "a fine-tuning job")
                self._append(handle, "reserved", name, most, sync=True, job=True)

    def has_room(self, *amounts: Amount) -> bool:
        """Return whether all amounts together fit into what is left of the budget."""
        self.begin()  # reads what others have added
        total = self.charged
        for amount in amounts:
            total = total.plus(amount)
        tokens, money = self.spec.max_tokens_total, self.spec.max_cost
        return (tokens is None or total.tokens <= tokens) and (money is None or total.money <= money)

    def job_settled(self, name: str) -> bool:
        """Return whether the reservation `name` of a fine-tuning job is settled."""
        with self._held():
            return self._jobs.get(name, False)

    def settle_job(self, name: str, tokens: int) -> None:
        """Record what a fine-tuning job used, once; at most what was reserved."""
        with self._held() as handle:
            if self._jobs.get(name) is False:
                most = self._open[name]
                used = self.job_amount(min(tokens, most.prompt))
                self._append(handle, "used", name, used, sync=True, job=True)
                self.spent = self.spent.plus(used)

    def settle(self, reservation: Reservation, prompt: int, answer: int) -> None:
        """Record what a request used, and release the rest of its reservation."""
        used = Amount(prompt, answer, self.price(prompt, answer))
        with self._held() as handle:
            self._append(
                handle, "used", reservation.id, used, sync=False
            )  # after a power cut the reservation remains
            self.spent = self.spent.plus(used)

    def _check(self, most: Amount, what: str = "another request") -> None:
        tokens, money, now = self.spec.max_tokens_total, self.spec.max_cost, self.charged
        lost = self._unknown or self.kept > self._requests or not self.begun <= self._jobs.keys()
        if (tokens is not None or money is not None) and lost:
            raise InputError(
                f"{self.path}: it does not hold all requests whose answers lie in api-cache, or all "
                "fine-tuning jobs, so what was spent is not known; put the whole file back, "
                "start a new folder (--out), or leave the budget out"
            )
        if tokens is not None and now.tokens + most.tokens > tokens:
            raise StageError(
                f"api budget: {now.tokens:,} of {tokens:,} tokens are spent or set aside, {what} "
                f"may take {most.tokens:,}; raise max_tokens_total to go on (what was answered is kept)"
            )
        if money is not None and now.money + most.money > money:
            raise StageError(
                f"api budget: {now.money:.4f} of {money:g} is spent or set aside, {what} may take "
                f"{most.money:.4f}; raise max_cost to go on (what was answered is kept)"
            )

    @contextmanager
    def _held(self) -> Iterator[int]:
        """Lock the file against other threads and processes, and read it to its end."""

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
            path = error.filename or self.path  # or the lock's
            if error.errno == errno.ELOOP:
                raise InputError(
                    f"{path}: a symbolic link; nothing is written through links, so remove it"
                ) from None
            raise StageError(
                f"{path}: the ledger cannot be written ({error.strerror or error}), and nothing is asked "
                "without it; make room or mend the rights"
            ) from None

    def _catch_up(self, handle: int) -> None:
        """Read the lines that were added since the last call."""
        now = os.fstat(handle)
        if not stat.S_ISREG(now.st_mode):
            raise InputError(
                f"{self.path}: this is not a regular file; remove it, or choose another folder with --out"
            )
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
        """Repair a last line without a line end.

        A complete line is kept. A line that was cut off by a kill, before its request was sent or during
        `settle`, is removed.
        """
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
        """Return the seal of a line: a hash of the line and of those before it."""
        return digest(self._seal, {k: v for k, v in entry.items() if k != "seal"})[:32]

    def _take(self, line: bytes) -> None:
        """Record one line.

        Raises
        ------
        InputError
            Probate did not write this line here.
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
                self._book(entry["what"], entry["id"], _amount(entry), entry.get("job") is True)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._changed() from None
        self._seal = entry["seal"]
        self._line += 1

    def _book(self, what: str, name: str, amount: Amount, job: bool = False) -> None:
        if not amount.money:  # requested without a price: the current price is used
            now = self.job_amount(amount.prompt).money if job else self.price(amount.prompt, amount.answer)
            amount = amount._replace(money=now)
        if what == "reserved" and name not in self._open:
            self._open[name] = amount
            self._requests += not job
            self._jobs |= {name: False} if job else {}
        elif what == "used":
            most = self._open.pop(name)
            self._jobs |= {name: True} if job else {}
            if amount.prompt > most.prompt or amount.answer > most.answer:
                raise ValueError("more than was set aside")
            self.settled = self.settled.plus(amount)
        else:
            raise ValueError(what)

    def _append(
        self, handle: int, what: str, name: str, amount: Amount, sync: bool, job: bool = False
    ) -> None:
        entry = {"what": what, "id": name, **amount._asdict(), **({"job": True} if job else {})}
        self._write(handle, entry, sync)

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
            "put the file back as it was, or start a new folder (--out)"
        )


def read_ledger(path: Path, spec: ApiSpec | None = None) -> Ledger | None:
    """Read the ledger at `path` for display, at the prices of `spec`, without writing to it.

    Returns
    -------
    Ledger or None
        None if there is no such file.

    Raises
    ------
    InputError
        The ledger was changed, or is not a readable file.
    """
    ledger = Ledger(spec or ApiSpec(model="-"), path)
    try:
        handle = os.open(path, os.O_RDONLY | NOFOLLOW | BINARY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); fix its permissions, or remove it if it is a link"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(
                f"{path}: this is not a regular file; remove it, or choose another folder with --out"
            )
        for line in _read(handle, 0).split(b"\n")[:-1]:  # an incomplete last line is not counted
            ledger._take(line)
    finally:
        os.close(handle)
    return ledger


def _read(handle: int, start: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    parts = []
    while part := os.read(handle, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _amount(entry: dict[str, Any]) -> Amount:
    """Return the amount of a line. Tokens are integers of at least 0, money is a finite number.

    Raises
    ------
    ValueError
        The line has no valid amount.
    """
    prompt, answer, money = entry["prompt"], entry["answer"], entry["money"]
    if type(prompt) is not int or type(answer) is not int or type(money) is not float:
        raise ValueError("amount")
    if min(prompt, answer) < 0 or not 0 <= money < float("inf"):
        raise ValueError("amount")
    return Amount(prompt, answer, money)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a new file in it survives a power cut; Windows opens no folders."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

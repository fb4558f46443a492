"""The record of one fine-tuning job, on disk before and after each request that creates something."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from probate.core.cache import read_report, sealed
from probate.core.errors import InputError
from probate.core.files import write_atomic

FOLDER = "fine-tuning"
"""Folder of the records and training files in a run folder."""


class JobRecord(BaseModel):
    """What is known about the fine-tuning job of one arm.

    `sent` names the request that is about to be sent, or was sent and has no recorded outcome. While it is
    set, the server is asked for what it has before anything is sent.

    Attributes
    ----------
    request : str
        Random name of this job, in the file's name and in the job's metadata.
    reservation : str
        Name of the reservation in the ledger; "" if nothing is reserved.
    most : int
        Maximum number of trained tokens, which is reserved.
    status : str
        The server's last word on the job; "" if it is not started.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    arm: str
    key: str
    server: str
    model: str
    request: str
    most: int
    reservation: str = ""
    sent: Literal["", "file", "job"] = ""
    file: str = ""
    job: str = ""
    status: str = ""
    error: str = ""
    fine_tuned_model: str = ""
    trained_tokens: int | None = None
    notes: list[str] = []

    @classmethod
    def path(cls, root: Path, arm: str, key: str) -> Path:
        """Return the path of an arm's record in a run folder."""
        return root / FOLDER / f"{arm}-{key[:12]}.json"

    @classmethod
    def new(cls, *, arm: str, key: str, server: str, model: str, most: int) -> Self:
        """Return the record of a job for which nothing was sent."""
        return cls(
            arm=arm,
            key=key,
            server=server,
            model=model,
            most=most,
            request=f"probate-{secrets.token_hex(12)}",
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record.

        Returns
        -------
        JobRecord or None
            None if there is no file.

        Raises
        ------
        InputError
            The file was changed, so that it is not known whether a job was started.
        """
        if not path.exists() and not path.is_symlink():
            return None
        try:
            return cls.model_validate({} if path.is_symlink() else read_report(path) or {})
        except ValidationError:
            raise InputError(
                f"{path}: not as Probate wrote it, so it is not known whether the job was started; put the "
                "file back as it was, or delete it to start another job"
            ) from None

    def write(self, path: Path) -> None:
        """Write the record atomically."""
        write_atomic(path, sealed(self.model_dump(mode="json")))

    @property
    def file_name(self) -> str:
        """Name of the training file on the server, which no other file has."""
        return f"{self.request}.jsonl"

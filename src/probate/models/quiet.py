"""Keeping third-party progress bars off the user's terminal, and what the libraries warn of for the caller to look at."""

from __future__ import annotations

import logging as std
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(std.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(std.WARNING)
        self._found = found

    def emit(self, record: std.LogRecord) -> None:
        self._found.append(record.getMessage())


@contextmanager
def quiet() -> Iterator[list[str]]:
    """No bars inside, and no warnings on the terminal: they are in the list when the block ends. Errors still raise."""
    from transformers.utils import logging

    found: list[str] = []
    logger, collector, bars = (
        logging.get_logger("transformers"),
        _Collector(found),
        logging.is_progress_bar_enabled(),
    )
    handlers, spread = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [collector], False
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield found
        found.extend(
            str(w.message) for w in caught if not issubclass(w.category, (DeprecationWarning, FutureWarning))
        )
    finally:
        logger.handlers, logger.propagate = handlers, spread
        if bars:
            logging.enable_progress_bar()

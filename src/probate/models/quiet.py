"""Keep third-party progress bars off the terminal, and collect the libraries' warnings for the caller."""

from __future__ import annotations

import logging as std
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(std.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(std.WARNING)
        self._messages = messages

    def emit(self, record: std.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Suppress progress bars and warnings of the libraries inside the block. Errors are still raised.

    Yields
    ------
    list of str
        The warnings, complete when the block ends.
    """
    from transformers.utils import logging

    messages: list[str] = []
    logger, collector, bars = (
        logging.get_logger("transformers"),
        _Collector(messages),
        logging.is_progress_bar_enabled(),
    )
    handlers, spread = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [collector], False
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield messages
        messages.extend(
            str(w.message) for w in caught if not issubclass(w.category, (DeprecationWarning, FutureWarning))
        )
    finally:
        logger.handlers, logger.propagate = handlers, spread
        if bars:
            logging.enable_progress_bar()

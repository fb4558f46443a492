"""The worker of a study: where its models are trained, and where they answer."""

from __future__ import annotations

from probate.core.cache import Store
from probate.core.errors import InputError
from probate.core.progress import Reporter
from probate.execution.adapter_server import AdapterServerWorker
from probate.execution.dispatch import DispatchWorker
from probate.execution.executors.base import INLINE, Place
from probate.execution.hosted import HostedWorker
from probate.execution.hosted_checks import served_keys
from probate.execution.worker import Worker
from probate.study.hosted import is_hosted
from probate.study.schema import Study


def worker_for(study: Study, store: Store, reporter: Reporter, place: Place = INLINE) -> Worker:
    """Return the worker of a study.

    It trains and measures here, or an executor does, or a server fine-tunes the model (`model.api`), or a
    server loads the adapters and answers some tasks (`evaluation`).

    Raises
    ------
    InputError
        There is no such executor, or the study's arms are done by a server.
    """
    chosen = place.load()
    if chosen is not None and (is_hosted(study.model) or study.evaluation is not None):
        raise InputError(
            "--executor and --jobs: the arms of this study are done by a server, so leave them out"
        )
    if chosen is not None:
        return DispatchWorker(chosen, store, reporter)
    if is_hosted(study.model):
        assert study.model.api is not None
        return HostedWorker(study.model.api, store, reporter)
    if study.evaluation is not None:
        return AdapterServerWorker(study.evaluation, served_keys(study), store, reporter)
    return Worker(store, reporter)

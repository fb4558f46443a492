"""The worker of a study: where its models are trained, and where they answer."""

from __future__ import annotations

from probate.core.cache import Store
from probate.core.progress import Reporter
from probate.execution.adapter_server import AdapterServerWorker
from probate.execution.hosted import HostedWorker
from probate.execution.hosted_checks import served_keys
from probate.execution.worker import Worker
from probate.study.hosted import is_hosted
from probate.study.schema import Study


def worker_for(study: Study, store: Store, reporter: Reporter) -> Worker:
    """Return the worker of a study.

    It trains and measures here, or a server fine-tunes the model (`model.api`), or a server loads the
    adapters and answers some tasks (`evaluation`).
    """
    if is_hosted(study.model):
        assert study.model.api is not None
        return HostedWorker(study.model.api, store, reporter)
    if study.evaluation is not None:
        return AdapterServerWorker(study.evaluation, served_keys(study), store, reporter)
    return Worker(store, reporter)

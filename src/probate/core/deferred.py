"""Deferred imports: a module is loaded when it is first used.

Modules that import torch or pandas take a second or more to load, and most commands need few of them. Such
modules are imported in a block at the top of a file, where readers, type checkers and the import contracts
see them::

    with deferred():
        from probate.models.inference import scoring

    def answer(lm): ...
        scoring.score_choices(lm, ...)   # loaded here

Only modules can be imported in this way, not names: ``from a.module import name`` would load the module at
once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any, ClassVar

OWN = "probate."


class _Deferred(ModuleType):
    """A module that loads itself when an attribute is first read."""

    lock: ClassVar[Any] = RLock()

    def __getattr__(self, name: str) -> Any:
        with _Deferred.lock:
            if type(self) is _Deferred:
                self.__class__ = ModuleType  # type: ignore[assignment]
                try:
                    self.__loader__.exec_module(self)  # type: ignore[union-attr]
                except BaseException:
                    self.__class__ = _Deferred
                    raise
        return getattr(self, name)


class _DeferredLoader(Loader):
    """A loader that leaves the module empty. `loader` loads it when it is first used."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__class__ = _Deferred


class _Finder(MetaPathFinder):
    """A finder that defers the loading of Probate's modules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith(OWN) else None
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferredLoader(spec.loader)
        return spec


@contextmanager
def deferred() -> Iterator[None]:
    """Defer the loading of Probate's modules that are imported inside the block.

    Other modules load at once.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)

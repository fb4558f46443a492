"""The shared trunk: frozen lower layers run once per distinct prefix, for all arms, epochs and evaluations.

If only the topmost layers are adapted (`training.lora.layers`), the layers below give the same hidden states
in every arm. They are computed once and kept. Each distinct prefix of a token sequence is a node of a trie,
with the state of its last token. A model reduced to its top layers takes node ids instead of token ids. Rows
with a common prefix share nodes, so shared prompt prefixes and option trees work on nodes as they do on
tokens. The results equal those of the whole model up to floating-point rounding. A model for which this does
not hold (`probate.models.inference.proof`) is run whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from probate.models.inference.batching import TOKENS_PER_BATCH, batches_by_length, shared_prefix
from probate.models.inference.output_layer import without_output_layer
from probate.models.inference.prefix import prefix_keys_values
from probate.models.inference.proof import base_of, code_key
from probate.models.inference.tree import OptionTree, tree_pass
from probate.models.inference.trunk_store import TrunkStore, key_of, trunk_dir, weights_key

MOST_BYTES = 2**31
"""Memory for states in bytes. When it is full, they are dropped and computed again as needed."""
PAD = 0
"""The node of padding."""
EMPTY = OptionTree([], [-1], [0], [])


class Trunk:
    """Hidden states of one model below its `top` last layers."""

    def __init__(self, model: Any, top: int, store: TrunkStore | None = None) -> None:
        """Create an empty trunk; raise ValueError if the model has no more than `top` layers.

        With `store`, states that it has are not computed, and new ones are added to it.
        """
        layers = _decoder(model).layers
        if not 0 < top < len(layers):
            raise ValueError(
                f"the model has {len(layers)} layers; at most {len(layers) - 1} of them can be the topmost "
                "ones"
            )
        self.bottom = len(layers) - top
        weight = next(model.parameters())
        self._states = torch.zeros(
            (1, model.config.get_text_config(decoder=True).hidden_size), dtype=weight.dtype
        ).to(weight.device)
        self._most = MOST_BYTES // (self._states.shape[1] * self._states.element_size())
        self._nodes: dict[tuple[int, int], int] = {}
        self._store = store
        self._keys = [b""]

    def fresh(self, model: Any) -> Trunk:
        """Return an empty trunk of the same layers, with room for a comparison."""
        other = Trunk(model, len(_decoder(model).layers) - self.bottom)
        other._most = max(other._most, 2**16)
        return other

    def enter(
        self, model: Any, rows: Sequence[Sequence[int]], trees: Sequence[OptionTree] | None = None
    ) -> tuple[list[list[int]], list[OptionTree]] | None:
        """Map rows and trees to node ids, and compute the states of new nodes.

        Returns
        -------
        tuple or None
            Node ids of the rows, and the trees with node ids as their inputs. None if they need more memory
            than there is.
        """
        trees = trees if trees is not None else [EMPTY] * len(rows)
        before = len(self._nodes)
        walked = self._walk(rows, trees)
        if len(self._nodes) >= self._most:
            self._clear()
            before, walked = 0, self._walk(rows, trees)
        if len(self._nodes) >= self._most:
            self._clear()
            return None
        missing = self._kept(before)
        new = [i for i, own in enumerate(walked) if not missing.isdisjoint(own[0] + own[1])]
        if new:
            self._fill(model, [list(rows[i]) for i in new], [trees[i] for i in new], [walked[i] for i in new])
            if self._store is not None:
                added = sorted(missing)
                self._store.add([self._keys[n] for n in added], self._states[added])
        return [nodes for nodes, _ in walked], [
            replace(t, inputs=inner) for t, (_, inner) in zip(trees, walked, strict=True)
        ]

    def _clear(self) -> None:
        self._nodes.clear()
        del self._keys[1:]

    @torch.inference_mode(False)
    @torch.no_grad()
    def _kept(self, before: int) -> set[int]:
        """Take states of the nodes after `before` from the store; return the nodes that it does not have."""
        new = range(before + 1, len(self._nodes) + 1)
        if new and len(self._nodes) >= len(self._states):
            size = min(self._most, 2 * (len(self._nodes) + 1))
            self._states = torch.cat(
                [self._states, self._states.new_zeros(size - len(self._states), self._states.shape[1])]
            )
        found = self._store.read([self._keys[n] for n in new]) if self._store is not None and new else {}
        if found:
            self._states[[new[place] for place in found]] = torch.stack([*found.values()]).to(
                self._states.device
            )
        return {n for place, n in enumerate(new) if place not in found}

    def _node(self, above: int, token: int) -> int:
        """Return the node of a token after that of its beginning."""
        node = self._nodes.setdefault((above, token), len(self._nodes) + 1)
        if self._store is not None and node == len(self._keys):
            self._keys.append(key_of(self._keys[above], token.to_bytes(8, "little", signed=True)))
        return node

    def _walk(
        self, rows: Sequence[Sequence[int]], trees: Sequence[OptionTree]
    ) -> list[tuple[list[int], list[int]]]:
        """Return the nodes of each row and of the inner nodes of its tree."""
        walked = []
        for row, tree in zip(rows, trees, strict=True):
            nodes, at = [], PAD
            for token in row:
                at = self._node(at, token)
                nodes.append(at)
            inner: list[int] = []
            for token, parent in zip(tree.inputs, tree.parents[1:], strict=True):
                above = inner[parent - 1] if parent else at
                inner.append(self._node(above, token))
            walked.append((nodes, inner))
        return walked

    @torch.inference_mode(False)
    @torch.no_grad()
    def _fill(
        self,
        model: Any,
        rows: list[list[int]],
        trees: list[OptionTree],
        walked: list[tuple[list[int], list[int]]],
    ) -> None:
        """Compute and store the states of the nodes in `walked`."""
        device = self._states.device
        with self._below(model) as caught:
            shared = shared_prefix(rows)
            prefix = prefix_keys_values(model, rows[0][:shared], device) if shared else []
            if shared:
                self._states[torch.tensor(walked[0][0][:shared], device=device)] = caught[0][0]
            lengths = [len(r) - shared + len(t.inputs) for r, t in zip(rows, trees, strict=True)]
            for batch in batches_by_length(
                lengths, 64, TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
            ):
                tree_pass(
                    model,
                    [rows[i][shared:] for i in batch],
                    prefix,
                    shared,
                    [trees[i] for i in batch],
                    PAD,
                    device,
                )
                width = max(len(rows[i]) - shared for i in batch)
                for state, i in zip(caught[0], batch, strict=True):
                    nodes, inner = walked[i]
                    self._states[torch.tensor(nodes[shared:] + inner, device=device)] = torch.cat(
                        [state[width - len(nodes) + shared : width], state[width : width + len(inner)]]
                    )

    @contextmanager
    def _below(self, model: Any) -> Iterator[list[torch.Tensor]]:
        """Reduce the model to its lower layers; the list holds the last layer's output of the latest pass."""
        caught: list[torch.Tensor] = []

        def catch(_: Any, __: Any, output: Any) -> None:
            caught[:] = [output[0] if isinstance(output, tuple) else output]

        with _cut(model, 0, self.bottom), without_output_layer(model):
            hook = _decoder(model).layers[-1].register_forward_hook(catch)
            try:
                yield caught
            finally:
                hook.remove()

    @contextmanager
    def above(self, model: Any) -> Iterator[None]:
        """Reduce the model to its top layers, which take node ids instead of token ids."""
        decoder = _decoder(model)
        embedding = decoder.get_input_embeddings()
        with _cut(model, self.bottom, len(decoder.layers)):
            decoder.set_input_embeddings(_States(self))
            try:
                yield
            finally:
                decoder.set_input_embeddings(embedding)


class _States(torch.nn.Module):
    """A replacement of the embedding that returns the state of each node."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self._trunk = trunk

    @property
    def weight(self) -> torch.Tensor:
        """The states, of shape (nodes, width)."""
        return self._trunk._states

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(nodes, self.weight)


def make_trunk(base: Any, top: int) -> None:
    """Create a shared trunk below the `top` last layers of `base` (without adapter), if it can be split."""
    kept: dict[int, Trunk | None] = base.__dict__.setdefault("_probate_trunks", {})
    if top not in kept:
        try:
            kept[top] = Trunk(base, top, _store_of(base, top))
        except (AttributeError, TypeError, ValueError):
            kept[top] = None


def _store_of(base: Any, top: int) -> TrunkStore | None:
    """Return the store of a trunk; None on a GPU, where states are computed faster than they are written."""
    root, weight = trunk_dir(), next(base.parameters())
    if root is None or weight.device.type != "cpu" or weight.dtype.itemsize not in (2, 4):
        return None
    decoder = _decoder(base)
    layers = decoder.layers
    if not 0 < top < len(layers):
        return None
    parts = {n: m for n, m in decoder.named_children() if m is not layers}
    parts |= {f"layers.{i}": layer for i, layer in enumerate(layers[: len(layers) - top])}
    config = {k: v for k, v in base.config.to_dict().items() if k != "_name_or_path"}
    about = json.dumps(config, sort_keys=True, default=str), str(base.config._attn_implementation)
    key = weights_key(parts, type(base).__name__, *about, code_key(), torch.__version__)
    return TrunkStore(root, key, base.config.get_text_config(decoder=True).hidden_size, weight.dtype)


def trunk_of(model: Any) -> Trunk | None:
    """Return the deepest trunk of `model` whose layers have no adapter attached, or None."""
    kept = base_of(model).__dict__.get("_probate_trunks", {})
    for top in sorted(kept):
        trunk = kept[top]
        if trunk and not any(
            hasattr(m, "lora_A") for layer in _decoder(model).layers[: trunk.bottom] for m in layer.modules()
        ):
            return trunk
    return None


def _decoder(model: Any) -> Any:
    base = base_of(model)
    return getattr(base, base.base_model_prefix)


@contextmanager
def _cut(model: Any, first: int, last: int) -> Iterator[None]:
    """Reduce the model to its layers from `first` up to, not including, `last`; restore it afterwards."""
    decoder = _decoder(model)
    layers, config = decoder.layers, decoder.config
    types = getattr(config, "layer_types", None)
    count = config.num_hidden_layers
    numbered = [m for layer in layers[first:last] for m in layer.modules() if hasattr(m, "layer_idx")]
    try:
        decoder.layers = layers[first:last]
        config.num_hidden_layers = last - first
        if types is not None:
            config.layer_types = types[first:last]
        for module in numbered:
            module.layer_idx -= first
        yield
    finally:
        decoder.layers, config.num_hidden_layers = layers, count
        if types is not None:
            config.layer_types = types
        for module in numbered:
            module.layer_idx += first

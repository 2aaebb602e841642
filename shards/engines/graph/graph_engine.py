"""Cross-encoders as graphs that another runtime computes: padded batches in, logits out.

Inputs have the names of transformers, and a graph gets those that it has: token types among them,
without which a BERT scores something else in silence, and positions where it takes them.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch

from shards.engines.base import Tokenizer
from shards.engines.layers.padding import padded_inputs, warm_up_batches
from shards.pairs import Batch
from shards.refusal import Refusal
from shards.wire.facts import Facts

if TYPE_CHECKING:
    import numpy as np

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
Run = Callable[[Arrays], "np.ndarray[Any, Any]"]
"""A computation of logits `[pairs, labels]` from int64 `[pairs, tokens]` by name."""

_NEEDED = frozenset({"input_ids", "attention_mask"})
_KNOWN = _NEEDED | {"token_type_ids", "position_ids"}


class GraphEngine:
    """A graph of a cross-encoder; see `shards.engines.base.Engine`."""

    def __init__(
        self,
        run: Run,
        inputs: Collection[str],
        *,
        label_weights: tuple[float, ...],
        pad_id: int,
        tokenizer: Tokenizer,
        facts: Facts,
        first_position: int = 0,
    ) -> None:
        """Take a graph.

        Args:
            inputs: the names of its inputs.
            first_position: the position of the first token, for graphs that take positions.
        """
        self.facts = facts
        self.tokenizer = tokenizer
        self._run = run
        self._takes_types = "token_type_ids" in inputs
        self._takes_positions = "position_ids" in inputs
        self._first_position = first_position
        self._weights = torch.tensor(label_weights)
        self._pad_id = pad_id

    def warm_up(self) -> None:
        """See `Engine`."""
        for batch in warm_up_batches(self.facts.max_length, token_id=self._pad_id + 1):
            self.score(batch)

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        inputs = padded_inputs(batch, pad_id=self._pad_id, types=self._takes_types)
        if self._takes_positions:
            ids = inputs["input_ids"]
            places = torch.arange(ids.shape[1]) + self._first_position
            inputs["position_ids"] = places.repeat(len(ids), 1)
        logits = self._run({name: tensor.numpy() for name, tensor in inputs.items()})
        margins: list[float] = (torch.from_numpy(logits).float() @ self._weights).tolist()
        return margins


def expect_inputs(inputs: Collection[str], *, types: bool, name: str) -> None:
    """Refuse a graph whose inputs cannot be provided.

    Args:
        types: whether the tokenizer marks the two sides of a pair.
        name: of the graph, for messages.
    """
    if not set(inputs) <= _KNOWN or not set(inputs) >= _NEEDED:
        raise Refusal(
            f"{name} takes {', '.join(sorted(inputs)) or 'nothing'}; a cross-encoder takes "
            "input_ids, attention_mask and, optionally, token_type_ids and position_ids"
        )
    if types and "token_type_ids" not in inputs:
        raise Refusal(
            f"{name} takes no token_type_ids, though its model has token types: it would give "
            "other scores than the checkpoint; export it again with them"
        )


def expect_logits(found: tuple[int, ...], expected: tuple[int, int], name: str) -> None:
    """Refuse a graph whose result is not a row of logits for each pair."""
    if found != expected:
        raise Refusal(
            f"{name} gives {list(found)} where {list(expected)} (pairs, labels) is expected: it is "
            "no reranker (an embedder gives a state for each token), or its config.json is another "
            "model's"
        )

"""The layout of an encoder's batch without padding: all tokens in one row, shortest pair first.

Products and norms never see padding; `pair_attention` has the attention of pairs to themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from shards.machine.devices import moved
from shards.pairs import Batch

_ROWS = 256  # at a time, on a CPU
_GPU_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """A batch as a model takes it.

    Attributes:
        places: for each pair of the batch its row among the results, `[pairs]`.
        token_ids, positions, types: `[tokens]`; positions count from 0 in each pair.
        starts: the row of each pair's first token.
        lengths: of the pairs, in the order of their rows.
    """

    places: torch.Tensor
    token_ids: torch.Tensor
    positions: torch.Tensor
    types: torch.Tensor
    starts: torch.Tensor
    lengths: list[int]

    @property
    def tokens(self) -> int:
        return len(self.token_ids)


def pack_batch(batch: Batch, device: str) -> PackedBatch:
    """Lay a batch out on a device."""
    order = sorted(range(len(batch)), key=lambda at: len(batch[at]))
    token_ids: list[int] = []
    positions: list[int] = []
    types: list[int] = []
    starts: list[int] = []
    for at in order:
        pair = batch[at]
        starts.append(len(token_ids))
        token_ids += pair.token_ids
        positions += range(len(pair))
        types += [0] * pair.document_start + [1] * (len(pair) - pair.document_start)

    places = torch.tensor(order).argsort()
    parts = [places, *map(torch.tensor, (token_ids, positions, types, starts))]
    together = moved(torch.cat(parts), device)  # one copy is faster than five
    at_places, ids, at_positions, of_types, firsts = torch.split(
        together, [len(part) for part in parts]
    )
    lengths = [len(batch[at]) for at in order]
    return PackedBatch(at_places, ids, at_positions, of_types, firsts, lengths)


def tiles(states: torch.Tensor) -> Iterator[slice]:
    """Yield slices of the rows of `[rows, ...]`, so that the states between two products are small.

    On a CPU they stay in the cache; on a GPU there are as many as keep it busy.
    """
    rows, most = len(states), _ROWS if states.device.type == "cpu" else _GPU_ROWS
    for first in range(0, rows, most):
        yield slice(first, min(rows, first + most))

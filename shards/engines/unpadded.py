"""A batch of an encoder without padding: all tokens in one flat row, shortest pair first.

Products and norms never see padding; how pairs attend to themselves is in `pair_attention`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from shards.pairs import Batch

_ROWS = 256  # at a time


@dataclass(frozen=True, slots=True)
class FlatBatch:
    """A batch as a model takes it.

    Attributes:
        places: which row of what is computed belongs to each pair of the batch, `[pairs]`.
        token_ids, positions, types: `[tokens]`; positions count from 0 in each pair.
        starts: where the first token of each pair is.
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


def flatten(batch: Batch, device: str) -> FlatBatch:
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

    def on_device(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, device=device)

    return FlatBatch(
        places=on_device(torch.tensor(order).argsort().tolist()),
        token_ids=on_device(token_ids),
        positions=on_device(positions),
        types=on_device(types),
        starts=on_device(starts),
        lengths=[len(batch[at]) for at in order],
    )


def tiles(rows: int) -> Iterator[slice]:
    """Yield so many rows that what lies between two products stays in the cache."""
    for first in range(0, rows, _ROWS):
        yield slice(first, min(rows, first + _ROWS))

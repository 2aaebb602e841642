"""A batch of an encoder without padding: all tokens in one flat row, shortest pair first.

Products and norms never see padding. Attention takes pairs of like length together, by plain batched
products: at the lengths of queries and documents these are faster on a CPU than
`scaled_dot_product_attention`, whose fused kernel is made for long rows. Only there a short pair is
filled up to the longest of its group, and what fills it is hidden. Long pairs are taken some rows at a
time, so that scores stay small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from shards.pairs import Batch

_FILLED_SHARE = 0.2  # of a group's scores; beyond it the next pair starts another group
_FREE_SCORES = 1 << 14  # of one head; below it a group costs its launch, however it is filled
_MOST_SCORES = 1 << 18  # of one head at a time, so that they stay in the cache


@dataclass(frozen=True, slots=True)
class Group:
    """Pairs that attend in one product, each to itself; they follow one another in the flat row.

    Attributes:
        rows: where in the flat row they are.
        pairs: how many there are.
        length: of each, filled up.
        filled: for each place of the filled block, which of `rows` it is, `[pairs * length]`;
            `None` where nothing is filled.
        places: for each of `rows`, where in the filled block it is.
        hidden: what is added to scores, 0 or -inf, `[pairs, 1, 1, length]`.
    """

    rows: slice
    pairs: int
    length: int
    filled: torch.Tensor | None = None
    places: torch.Tensor | None = None
    hidden: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class FlatBatch:
    """A batch as a model takes it.

    Attributes:
        places: which row of what is computed belongs to each pair of the batch, `[pairs]`.
        token_ids, positions, types: `[tokens]`; positions count from 0 in each pair.
        starts: where the first token of each pair is.
        groups: who attends together.
    """

    places: torch.Tensor
    token_ids: torch.Tensor
    positions: torch.Tensor
    types: torch.Tensor
    starts: torch.Tensor
    groups: list[Group]

    @property
    def tokens(self) -> int:
        return len(self.token_ids)


def flatten(batch: Batch, device: str, form: torch.dtype) -> FlatBatch:
    """Lay a batch out on a device; `form` is the number format of attention scores."""
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
    lengths = [len(batch[at]) for at in order]

    def on_device(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, device=device)

    return FlatBatch(
        places=on_device(torch.tensor(order).argsort().tolist()),
        token_ids=on_device(token_ids),
        positions=on_device(positions),
        types=on_device(types),
        starts=on_device(starts),
        groups=[_grouped(span, lengths, starts, device, form) for span in _spans(lengths)],
    )


def _spans(lengths: Sequence[int]) -> list[slice]:
    """Cut pairs, shortest first, into groups of like length."""
    spans: list[slice] = []
    first = useful = 0
    for at, length in enumerate(lengths):
        scores = (at + 1 - first) * length * length
        wasted = scores - useful - length * length
        fits = scores <= _MOST_SCORES
        is_like = scores <= _FREE_SCORES or wasted <= scores * _FILLED_SHARE
        if at > first and not (fits and is_like):
            spans.append(slice(first, at))
            first, useful = at, 0
        useful += length * length
    return [*spans, slice(first, len(lengths))]


def _grouped(
    span: slice, all_lengths: Sequence[int], starts: Sequence[int], device: str, form: torch.dtype
) -> Group:
    lengths = torch.tensor(all_lengths[span])
    length, start = int(lengths[-1]), starts[span.start]
    rows = slice(start, start + int(lengths.sum()))
    if int(lengths[0]) == length:
        return Group(rows, len(lengths), length)
    columns = torch.arange(length)
    is_real = columns < lengths[:, None]
    firsts = lengths.cumsum(0) - lengths
    filled = firsts[:, None] + columns.minimum(lengths[:, None] - 1)
    hidden = torch.zeros(is_real.shape, dtype=form).masked_fill_(~is_real, float("-inf"))
    return Group(
        rows,
        len(lengths),
        length,
        filled.view(-1).to(device),
        is_real.view(-1).nonzero()[:, 0].to(device),
        hidden[:, None, None].to(device),
    )


def attend(products: torch.Tensor, group: Group, heads: int, out: torch.Tensor) -> None:
    """Write what the group's rows attend to into their rows of `out`, `[tokens, hidden]`.

    Args:
        products: queries (already scaled), keys and values side by side, `[tokens, 3 * hidden]`.
    """
    block = products[group.rows]
    if group.filled is not None:
        block = block.index_select(0, group.filled)
    pairs, length = group.pairs, group.length
    split = block.view(pairs, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = split.reshape(3, pairs * heads, length, -1)
    states = _attended(queries, keys.transpose(1, 2), values, group)
    states = states.view(pairs, heads, length, -1).transpose(1, 2).reshape(pairs * length, -1)
    out[group.rows] = states if group.places is None else states.index_select(0, group.places)


def _attended(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, group: Group
) -> torch.Tensor:
    step = max(1, _MOST_SCORES // (group.pairs * group.length))
    parts = []
    for some in torch.split(queries, step, dim=1):
        scores = torch.bmm(some, keys)
        if group.hidden is not None:
            scores.view(group.pairs, -1, some.shape[1], group.length).add_(group.hidden)
        parts.append(torch.bmm(scores.softmax(-1), values))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

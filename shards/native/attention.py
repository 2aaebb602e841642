"""Attention of segments to rows of a pool, in one pass through the caches of a CPU.

Scores are never in memory as a whole, nothing is copied, padded or grouped, and no kernel is
generated for each length: so short segments cost no more than their arithmetic, and long ones no
memory. Scores and results are fp32; weights are rounded to bf16 before they meet the values. See
`attention.c`.
"""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import MOST_ELEMENTS, WrongArgument, kernel, takes_heads

Span = tuple[int, int]  # first row and number of rows


class _States(ctypes.Structure):
    _fields_ = (
        ("at", ctypes.c_void_p),
        ("row_step", ctypes.c_int64),
        ("head_step", ctypes.c_int64),
    )


class _Attention(ctypes.Structure):
    _fields_ = (
        *((name, _States) for name in ("queries", "keys", "values", "out")),
        *((name, ctypes.c_void_p) for name in ("segments", "spans", "tiles")),
        *((name, ctypes.c_int64) for name in ("tile_count", "heads", "share", "dim")),
        ("causal", ctypes.c_int64),
        ("reach", ctypes.c_int64),
    )


class SegmentAttention:
    """The attention of the segments of one batch."""

    def __init__(
        self,
        library: ctypes.CDLL,
        segments: Sequence[tuple[Span, Sequence[Span]]],
        *,
        causal: bool,
        reach: int | None = None,
    ) -> None:
        """Lay out the work.

        Args:
            segments: rows of the queries, and the rows of the pool that they attend to.
            causal: whether a row sees the pool's rows up to its own; the last rows of both then
                belong together.
            reach: the most rows between a query and a key that it sees, to both sides; the first
                rows of both then belong together. `None` for no limit. Not with `causal`.
        """
        pointer = ctypes.POINTER(_Attention)
        self._attend = kernel(library, "native_attention", pointer)
        self._tile_rows = kernel(library, "native_tile_rows", ctypes.c_int64, result=ctypes.c_int64)
        self._segments = sorted(segments, key=_cost, reverse=True)  # the largest first
        self._causal = causal
        self._reach = -1 if reach is None else reach
        _check(self._segments, causal, reach)
        rows: list[tuple[int, ...]] = []
        spans: list[Span] = []
        for (first, length), attended in self._segments:
            seen = sum(count for _, count in attended)
            rows.append((first, length, len(spans), seen))
            spans.extend(attended)
        self._rows = torch.tensor(rows, dtype=torch.int64)
        self._spans = torch.tensor(spans, dtype=torch.int64)
        self._query_rows = max((first + length for (first, length), _ in segments), default=0)
        self._pool_rows = max((first + count for first, count in spans), default=0)

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Write the result for the rows of `queries` into `out`, of the same shape; all in bf16.

        Args:
            queries: scaled, `[heads, rows, share * dim]`: query heads that share a key head are
                side by side. Rows of no segment are left alone.
            keys, values: `[heads, rows of the pool, dim]`, an even number up to 256. All may be
                views, if the elements of a row lie side by side.

        Raises:
            WrongArgument: a tensor is of another kind; nothing was computed.
        """
        heads, _, width = queries.shape
        dim = keys.shape[2]
        share = width // dim
        if not takes_heads(dim) or width % dim:
            raise WrongArgument(
                f"heads have {dim} elements, queries {width}; the kernel takes even numbers up to "
                f"{MOST_ELEMENTS}, and queries of a multiple of that"
            )
        tiles = self._tiles(share, dim)
        work = _Attention(
            _states("queries", queries, heads, self._query_rows, width),
            _states("keys", keys, heads, self._pool_rows, dim),
            _states("values", values, heads, self._pool_rows, dim),
            _states("out", out, heads, self._query_rows, width),
            *(self._rows.data_ptr(), self._spans.data_ptr(), tiles.data_ptr()),
            *(len(tiles), heads, share, dim, self._causal, self._reach),
        )
        self._attend(work)

    def _tiles(self, share: int, dim: int) -> torch.Tensor:
        """Return segment and first query row of each tile, the last rows of a segment first."""
        step = self._tile_rows(dim)
        tiles = [
            (at, first)
            for at, ((_, length), _) in enumerate(self._segments)
            for first in reversed(range(0, length * share, step))
        ]
        return torch.tensor(tiles, dtype=torch.int64)


def _cost(segment: tuple[Span, Sequence[Span]]) -> int:
    (_, length), attended = segment
    return length * sum(count for _, count in attended)


def _check(
    segments: Sequence[tuple[Span, Sequence[Span]]], causal: bool, reach: int | None
) -> None:
    if reach is not None and (causal or reach < 0):
        raise WrongArgument(f"rows cannot see {reach} keys to both sides, causal: {causal}")
    for rows, attended in segments:
        spans = (rows, *attended)
        is_sound = bool(attended) and all(first >= 0 and count > 0 for first, count in spans)
        most = sum(count for _, count in attended)
        if not is_sound or ((causal or reach is not None) and rows[1] > most):
            raise WrongArgument(f"rows {rows} cannot attend to {list(attended)}, causal: {causal}")


def _states(name: str, tensor: torch.Tensor, heads: int, rows: int, width: int) -> _States:
    """Describe the rows of a tensor, after a check of its kind."""
    shape, steps = tensor.shape, tensor.stride()
    is_shape = len(shape) == 3 and shape[0] == heads and shape[1] >= rows and shape[2] == width
    if (
        is_shape
        and steps[2] == 1
        and tensor.dtype == torch.bfloat16
        and tensor.device.type == "cpu"
    ):
        return _States(tensor.data_ptr(), steps[1], steps[0])
    raise WrongArgument(
        f"{name} is {tensor.dtype} {list(shape)} in steps of {list(steps)} on {tensor.device}; the "
        f"kernel takes torch.bfloat16 [{heads}, at least {rows}, {width}], rows in one piece, on "
        "the cpu"
    )

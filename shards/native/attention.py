"""Attention of segments that attend to rows of a pool, in one pass through the caches of a CPU.

Scores are never in memory as a whole, nothing is copied, padded or grouped, and a kernel is not made
anew for each length: so short segments cost what they compute, and long ones no memory. Scores and
results are fp32; weights are rounded to bf16 before they meet the values. See `attention.c`.
"""

import ctypes
from collections.abc import Sequence

import torch

from shards.native.arguments import WrongArgument, kernel
from shards.native.sizes import MOST_ELEMENTS, takes_heads

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
        *((name, ctypes.c_void_p) for name in ("askings", "spans", "tiles")),
        *((name, ctypes.c_int64) for name in ("tile_count", "heads", "share", "dim")),
        ("causal", ctypes.c_int64),
        ("reach", ctypes.c_int64),
    )


class Attending:
    """Who attends to what in one batch."""

    def __init__(
        self,
        library: ctypes.CDLL,
        askings: Sequence[tuple[Span, Sequence[Span]]],
        *,
        causal: bool,
        reach: int | None = None,
    ) -> None:
        """Lay out the work.

        Args:
            askings: rows of the queries, and the rows of the pool that they attend to; if `causal`, the
                last of both belong together, and each row sees those up to its own.
            reach: if given, the first of both belong together, and each row sees those at most so far
                from its own. Not with `causal`.
        """
        self._attend = kernel(library, "native_attention", ctypes.POINTER(_Attention))
        self._tile_rows = kernel(library, "native_tile_rows", ctypes.c_int64, gives=ctypes.c_int64)
        self._askings = sorted(askings, key=_cost, reverse=True)  # the largest first
        self._causal = causal
        self._reach = -1 if reach is None else reach
        _check(self._askings, causal, reach)
        rows: list[tuple[int, ...]] = []
        spans: list[Span] = []
        for (first, length), attended in self._askings:
            seen = sum(count for _, count in attended)
            rows.append((first, length, len(spans), seen))
            spans.extend(attended)
        self._rows = torch.tensor(rows, dtype=torch.int64)
        self._spans = torch.tensor(spans, dtype=torch.int64)
        self._query_rows = max((first + length for (first, length), _ in askings), default=0)
        self._pool_rows = max((first + count for first, count in spans), default=0)

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Write what the rows of `queries` attend to into `out`, of the same shape; all in bf16.

        Args:
            queries: scaled, `[heads, rows, share * dim]`: query heads that share a key head are side by
                side. Rows that no asking has are left alone.
            keys, values: `[heads, rows of the pool, dim]`, an even number up to 256. All may be views, if
                the elements of a row lie side by side.

        Raises:
            WrongArgument: a tensor is not like that; nothing was computed.
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
        """Return asking and first query row of each piece of work, the last rows of an asking first."""
        step = self._tile_rows(dim)
        tiles = [
            (at, first)
            for at, ((_, length), _) in enumerate(self._askings)
            for first in reversed(range(0, length * share, step))
        ]
        return torch.tensor(tiles, dtype=torch.int64)


def _cost(asking: tuple[Span, Sequence[Span]]) -> int:
    (_, length), attended = asking
    return length * sum(count for _, count in attended)


def _check(askings: Sequence[tuple[Span, Sequence[Span]]], causal: bool, reach: int | None) -> None:
    if reach is not None and (causal or reach < 0):
        raise WrongArgument(f"rows cannot see {reach} keys to both sides, causal: {causal}")
    for rows, attended in askings:
        spans = (rows, *attended)
        is_sound = bool(attended) and all(first >= 0 and count > 0 for first, count in spans)
        most = sum(count for _, count in attended)
        if not is_sound or ((causal or reach is not None) and rows[1] > most):
            raise WrongArgument(f"rows {rows} cannot attend to {list(attended)}, causal: {causal}")


def _states(name: str, tensor: torch.Tensor, heads: int, rows: int, width: int) -> _States:
    """Return where the rows of a tensor are, if it has all that is asked for."""
    shape, steps = tensor.shape, tensor.stride()
    has_all = len(shape) == 3 and shape[0] == heads and shape[1] >= rows and shape[2] == width
    if has_all and steps[2] == 1 and tensor.dtype == torch.bfloat16 and tensor.device.type == "cpu":
        return _States(tensor.data_ptr(), steps[1], steps[0])
    raise WrongArgument(
        f"{name} is {tensor.dtype} {list(shape)} in steps of {list(steps)} on {tensor.device}; the "
        f"kernel takes torch.bfloat16 [{heads}, at least {rows}, {width}], rows in one piece, on the cpu"
    )

"""A product split into values, keys and queries, normed and rotated by head. See `split.c`."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import torch

from shards.native.arguments import WrongArgument, address, kernel
from shards.native.rows import CRows, Rows, numbers_of, read


@dataclass(frozen=True, slots=True)
class QkvBuffers:
    """The destinations of a product of values, keys and queries; `None` for what it lacks.

    Attributes:
        values, keys, queries: fp32 or bf16, `[groups, rows, heads side by side]`, in steps of any
            size.
    """

    values: torch.Tensor | None = None
    keys: torch.Tensor | None = None
    queries: torch.Tensor | None = None


Split = Callable[[Rows, torch.Tensor, torch.Tensor, float, QkvBuffers], None]


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("at", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("row_step", "group_step", "heads", "share", "form")),
    )


class _Split(ctypes.Structure):
    _fields_ = (
        ("product", CRows),
        *((name, _Buffer) for name in ("values", "keys", "queries")),
        ("norms", ctypes.c_void_p),
        ("turns", ctypes.c_void_p),
        ("eps", ctypes.c_double),
        ("count", ctypes.c_int64),
        ("dim", ctypes.c_int64),
    )


def qkv_splitter(library: ctypes.CDLL) -> Split:
    """Return the kernel that fills the buffers of queries, keys and values."""
    run = kernel(library, "native_split", ctypes.POINTER(_Split))

    def split(
        product: Rows,
        norms: torch.Tensor,
        turns: torch.Tensor,
        eps: float,
        buffers: QkvBuffers,
    ) -> None:
        """Fill the buffers.

        Args:
            product: values, keys and queries side by side, `[rows, all heads * dim]`.
            norms: of the heads of keys, then of queries, fp32 `[heads, dim]`.
            turns: complex, `[rows, 1, dim / 2]`.

        Raises:
            WrongArgument: sizes or formats do not fit; nothing was computed.
        """
        count, width = numbers_of(product).shape
        heads, dim = norms.shape
        found = (
            _buffer("values", buffers.values, count, dim),
            _buffer("keys", buffers.keys, count, dim),
            _buffer("queries", buffers.queries, count, dim),
        )
        of_values, *turned = (buffer.heads for buffer in found)
        if (of_values + sum(turned)) * dim != width or heads != sum(turned):
            raise WrongArgument(
                f"a product of {width} columns with norms of {heads} heads of {dim} does not fill "
                f"buffers of {[of_values, *turned]} heads"
            )
        run(
            _Split(
                read("product", product, count, width),
                *found,
                address("norms", norms, torch.float32, heads, dim),
                address("turns", turns, torch.complex64, count, 1, dim // 2),
                *(eps, count, dim),
            )
        )

    return split


def _buffer(name: str, buffer: torch.Tensor | None, count: int, dim: int) -> _Buffer:
    if buffer is None:
        return _Buffer(None, 0, 0, 0, 1, 0)
    is_float = buffer.dtype in (torch.float32, torch.bfloat16) and buffer.device.type == "cpu"
    is_shape = buffer.dim() == 3 and buffer.shape[1] == count and not buffer.shape[2] % dim
    if is_float and is_shape and dim % 2 == 0 and buffer.stride(2) == 1:
        groups, share = buffer.shape[0], buffer.shape[2] // dim
        steps = (buffer.stride(1), buffer.stride(0), groups * share, share)
        return _Buffer(buffer.data_ptr(), *steps, int(buffer.dtype == torch.bfloat16))
    raise WrongArgument(
        f"{name} is {buffer.dtype} {list(buffer.shape)} in steps of {list(buffer.stride())} on "
        f"{buffer.device}; the kernel takes fp32 or bf16 [groups, {count}, a multiple of {dim}], "
        "heads in one piece, on the cpu"
    )

"""A product split into values, keys and queries, normed and turned by head. See `split.c`."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import torch

from shards.native.arguments import WrongArgument, address, kernel
from shards.native.rows import CRows, Rows, numbers_of, read


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a product of values, keys and queries fills; `None` is not in the product.

    Attributes:
        values, keys, queries: fp32 or bf16, `[groups, rows, heads side by side]`, in steps of any size.
    """

    values: torch.Tensor | None = None
    keys: torch.Tensor | None = None
    queries: torch.Tensor | None = None


Split = Callable[[Rows, torch.Tensor, torch.Tensor, float, Rooms], None]


class _Room(ctypes.Structure):
    _fields_ = (
        ("at", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("row_step", "group_step", "heads", "share", "form")),
    )


class _Split(ctypes.Structure):
    _fields_ = (
        ("product", CRows),
        *((name, _Room) for name in ("values", "keys", "queries")),
        ("norms", ctypes.c_void_p),
        ("turns", ctypes.c_void_p),
        ("eps", ctypes.c_double),
        ("count", ctypes.c_int64),
        ("dim", ctypes.c_int64),
    )


def split_by(library: ctypes.CDLL) -> Split:
    """Return the kernel."""
    run = kernel(library, "native_split", ctypes.POINTER(_Split))

    def split(
        product: Rows,
        norms: torch.Tensor,
        turns: torch.Tensor,
        eps: float,
        rooms: Rooms,
    ) -> None:
        """Fill rooms.

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
            _room("values", rooms.values, count, dim),
            _room("keys", rooms.keys, count, dim),
            _room("queries", rooms.queries, count, dim),
        )
        of_values, *turned = (room.heads for room in found)
        if (of_values + sum(turned)) * dim != width or heads != sum(turned):
            raise WrongArgument(
                f"a product of {width} columns with norms of {heads} heads of {dim} does not fill rooms of "
                f"{[of_values, *turned]} heads"
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


def _room(name: str, room: torch.Tensor | None, count: int, dim: int) -> _Room:
    if room is None:
        return _Room(None, 0, 0, 0, 1, 0)
    is_form = room.dtype in (torch.float32, torch.bfloat16) and room.device.type == "cpu"
    is_shape = room.dim() == 3 and room.shape[1] == count and not room.shape[2] % dim
    if is_form and is_shape and dim % 2 == 0 and room.stride(2) == 1:
        groups, share = room.shape[0], room.shape[2] // dim
        steps = (room.stride(1), room.stride(0), groups * share, share)
        return _Room(room.data_ptr(), *steps, int(room.dtype == torch.bfloat16))
    raise WrongArgument(
        f"{name} is {room.dtype} {list(room.shape)} in steps of {list(room.stride())} on {room.device}; the "
        f"kernel takes fp32 or bf16 [groups, {count}, a multiple of {dim}], heads in one piece, on the cpu"
    )

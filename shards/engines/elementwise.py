"""What lies between the products of a decoder layer: norms, rotary positions, the gate. In fp32.

On a CPU they are kernels of our own (`shards.native`) where these can be used. Otherwise they are few
in-place passes over some hundred rows, which stay in the cache; nothing is compiled, so nothing has to
be compiled at start. On a GPU each pass would go through memory, so the same formulas, written plainly,
are fused by `torch.compile` (`fused`).

A *turn* is a rotary position: the two halves of a head stand side by side (`qwen3_weights` permutes
the weights so), so each pair of numbers is a complex one, turned by a complex one of length 1.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from shards.native.gated import gated_by
from shards.native.library import kernels
from shards.native.normed import Norms
from shards.native.put import add_by, put_by
from shards.native.rows import Rows, Scaled
from shards.native.sizes import takes_rows
from shards.native.split import Rooms, split_by

_TAKEN = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.uint8}  # by products


class Steps(Protocol):
    """The steps of one device. What products take and give are `Rows`: numbers, in int8 with scales."""

    def taken(self, states: torch.Tensor) -> Rows:
        """Return states as products take them best."""
        ...

    def normed(
        self, states: torch.Tensor, weight: torch.Tensor, eps: float, added: Rows | None = None
    ) -> Rows:
        """Return rows over their root mean square, times a weight; `added` is added first, in place."""
        ...

    def split(
        self,
        product: Rows,
        norms: torch.Tensor,
        turns: torch.Tensor,
        eps: float,
        rooms: Rooms,
    ) -> None:
        """Fill rooms from a product of values, keys and queries, in this order.

        Args:
            norms: of the heads of keys, then of queries, `[heads, head_dim]`; heads are normed.
            turns: what heads are turned by then, `[rows, 1, head_dim / 2]`.
        """
        ...

    def gated(self, product: Rows) -> Rows:
        """Return the SiLU of the first half of each row times the second."""
        ...

    def add(self, states: torch.Tensor, product: Rows) -> None:
        """Add a product to states, in place."""
        ...


def steps_for(device: str, dtype: str, *widths: int) -> Steps:
    """Return the steps for a device and a number format: those of a GPU are not compiled, see `fused`.

    Args:
        widths: of all rows that steps make: of states, of what attention gives, of what is gated.
    """
    library = kernels()
    if device == "cpu" and dtype in _TAKEN and library is not None and takes_rows(*widths):
        return Native(library, _TAKEN[dtype])
    return IN_PLACE


def turns(positions: torch.Tensor, speeds: torch.Tensor) -> torch.Tensor:
    """Return the turn of each position, `[positions, 1, head_dim / 2]`, complex."""
    angles = positions[:, None, None] * speeds
    return torch.polar(torch.ones_like(angles), angles)


# -- kernels of our own ----------------------------------------------------------------------------


class Native:
    """Steps by `shards.native`, each once through its rows."""

    def __init__(self, library: ctypes.CDLL, form: torch.dtype) -> None:
        """Make what products take in `form`: fp32, bf16, or u8 for codes with a scale a row."""
        self.normed = Norms(library, form).rms
        self.split = split_by(library)
        self.gated = gated_by(library, form)
        self.add = add_by(library)
        self.taken = put_by(library, form) if form == torch.uint8 else _as_they_are


def _as_they_are(states: Rows) -> Rows:
    return states


# -- PyTorch's operations --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Formulas:
    """Steps made of PyTorch's operations.

    Attributes:
        norm: see `Steps.normed`; fp32.
        turn: a flat row of heads `[rows, heads * head_dim]`, normed by head with a weight
            `[heads, head_dim]` and turned by `[rows, 1, head_dim / 2]`; `[rows, heads, head_dim]` in
            the format of the flat row.
        gate: see `Steps.gated`.
    """

    norm: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
    turn: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
    gate: Callable[[torch.Tensor], torch.Tensor]

    def taken(self, states: torch.Tensor) -> Rows:
        return states

    def normed(
        self, states: torch.Tensor, weight: torch.Tensor, eps: float, added: Rows | None = None
    ) -> Rows:
        if added is not None:
            self.add(states, added)
        return self.norm(states, weight, eps)

    def split(
        self,
        product: Rows,
        norms: torch.Tensor,
        turns: torch.Tensor,
        eps: float,
        rooms: Rooms,
    ) -> None:
        values, keys, queries = rooms.values, rooms.keys, rooms.queries
        flat, dim = _plain(product), norms.shape[1]
        first = 0
        if values is not None:
            first = values.shape[0] * values.shape[2]
            _put(values, flat[:, :first].reshape(len(flat), -1, dim))
        turned = self.turn(flat[:, first:], norms, turns, eps)
        between = 0 if keys is None else keys.shape[0] * keys.shape[2] // dim
        for room, heads in ((keys, turned[:, :between]), (queries, turned[:, between:])):
            if room is not None:
                _put(room, heads)

    def gated(self, product: Rows) -> Rows:
        return self.gate(_plain(product))

    def add(self, states: torch.Tensor, product: Rows) -> None:
        states.add_(_plain(product))


def _plain(rows: Rows) -> torch.Tensor:
    return rows.exact() if isinstance(rows, Scaled) else rows


def _put(room: torch.Tensor, heads: torch.Tensor) -> None:
    """Put `[rows, heads, head_dim]` into `[groups, rows, heads of a group side by side]`."""
    groups, rows, width = room.shape
    room.copy_(heads.reshape(rows, groups, width).transpose(0, 1))


# in place, on a CPU


def rms_normed(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """See `Formulas.norm`."""
    exact = torch.empty_like(states, dtype=torch.float32).copy_(states)
    return exact.mul_(_over_rms(exact, eps)).mul_(weight)


def _turned(
    flat: torch.Tensor, norms: torch.Tensor, turns: torch.Tensor, eps: float
) -> torch.Tensor:
    rows, (heads, dim) = len(flat), norms.shape
    exact = torch.empty((rows, heads, dim), dtype=torch.float32, device=flat.device)
    exact.view(rows, -1).copy_(flat)
    over_rms = _over_rms(exact, eps)
    exact.mul_(norms)
    torch.view_as_complex(exact.view(rows, heads, -1, 2)).mul_(turns)
    return exact.mul_(over_rms).to(flat.dtype)


def _over_rms(exact: torch.Tensor, eps: float) -> torch.Tensor:
    norm: torch.Tensor = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
    return norm.square_().mul_(1 / exact.shape[-1]).add_(eps).rsqrt_()


def _gated(product: torch.Tensor) -> torch.Tensor:
    gate, up = product.chunk(2, dim=1)
    return functional.silu(gate).mul_(up)


IN_PLACE = Formulas(rms_normed, _turned, _gated)


# plain formulas, to be fused


def _plain_normed(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    exact = states.float()
    return exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + eps) * weight


def _plain_turned(
    flat: torch.Tensor, norms: torch.Tensor, turns: torch.Tensor, eps: float
) -> torch.Tensor:
    return real_turned(flat, norms, torch.view_as_real(turns), eps)


def real_turned(
    flat: torch.Tensor, norms: torch.Tensor, turns: torch.Tensor, eps: float
) -> torch.Tensor:
    """See `Formulas.turn`; turns are `[rows, 1, head_dim / 2, 2]`, real."""
    normed = _plain_normed(flat.view(len(flat), *norms.shape), norms, eps)
    cos, sin = turns.unbind(-1)
    first, second = normed.view(len(flat), len(norms), -1, 2).unbind(-1)
    both = (first * cos - second * sin, first * sin + second * cos)
    return torch.stack(both, dim=-1).flatten(-2).to(flat.dtype)


def _plain_gated(product: torch.Tensor) -> torch.Tensor:
    gate, up = product.float().chunk(2, dim=1)
    return (functional.silu(gate) * up).to(product.dtype)


PLAIN = Formulas(_plain_normed, _plain_turned, _plain_gated)

"""The steps between the products of a decoder layer: norms, rotary positions, the gate. In fp32.

On a CPU they are kernels in C (`shards.native`) where these can be used. Otherwise they are few
in-place passes over some hundred rows, which stay in the cache; nothing is compiled, so nothing
delays the start. On a GPU each pass would go through memory, so the same formulas, written plainly,
are fused by `torch.compile` (`fused`).

A rotary position is a *turn*: the two halves of a head are interleaved (`qwen3_weights` permutes
the weights so), so each pair of numbers is a complex one, rotated by a complex one of length 1.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from shards.native.arguments import takes_rows
from shards.native.library import kernels
from shards.native.normed import Norms
from shards.native.rows import Rows, Scaled, row_adder, row_converter, row_gate
from shards.native.split import QkvBuffers, qkv_splitter

_INPUTS = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.uint8}  # of products


class Steps(Protocol):
    """The steps of one device. Products take and return `Rows`: numbers, in int8 with scales."""

    def product_input(self, states: torch.Tensor) -> Rows:
        """Return states in the format that products take."""
        ...

    def normed(
        self, states: torch.Tensor, weight: torch.Tensor, eps: float, added: Rows | None = None
    ) -> Rows:
        """Return the RMSNorm of rows, after adding `added` to them in place."""
        ...

    def split(
        self,
        product: Rows,
        norms: torch.Tensor,
        turns: torch.Tensor,
        eps: float,
        buffers: QkvBuffers,
    ) -> None:
        """Fill buffers from a product of values, keys and queries, in this order.

        Heads of keys and queries are normed, then rotated.

        Args:
            norms: of the heads of keys, then of queries, `[heads, head_dim]`.
            turns: the rotations of the rows, `[rows, 1, head_dim / 2]`.
        """
        ...

    def gated(self, product: Rows) -> Rows:
        """Return the SiLU of the first half of each row times the second."""
        ...

    def add(self, states: torch.Tensor, product: Rows) -> None:
        """Add a product to states, in place."""
        ...


def steps_for(device: str, dtype: str, *widths: int) -> Steps:
    """Return the steps for a device and a number format; for the fused ones of a GPU see `fused`.

    Args:
        widths: of all rows that steps write: states, results of attention, gated rows.
    """
    library = kernels()
    if device == "cpu" and dtype in _INPUTS and library is not None and takes_rows(*widths):
        return Native(library, _INPUTS[dtype])
    return IN_PLACE


def rotations(positions: torch.Tensor, speeds: torch.Tensor) -> torch.Tensor:
    """Return the turn of each position, `[positions, 1, head_dim / 2]`, complex."""
    angles = positions[:, None, None] * speeds
    return torch.polar(torch.ones_like(angles), angles)


# -- kernels in C ----------------------------------------------------------------------------------


class Native:
    """Steps by `shards.native`, each one pass over its rows."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        """Take the input format of products: fp32, bf16, or u8 for codes with a scale a row."""
        self.normed = Norms(library, dtype).rms
        self.split = qkv_splitter(library)
        self.gated = row_gate(library, dtype)
        self.add = row_adder(library)
        self.product_input = row_converter(library, dtype) if dtype == torch.uint8 else _unchanged


def _unchanged(states: Rows) -> Rows:
    return states


# -- PyTorch's operations --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Formulas:
    """Steps made of PyTorch's operations.

    Attributes:
        norm: see `Steps.normed`; returns fp32.
        turn: takes heads side by side `[rows, heads * head_dim]`, norms each with its weight of
            `[heads, head_dim]`, and rotates it by `[rows, 1, head_dim / 2]`; returns
            `[rows, heads, head_dim]` in the format of its input.
        gate: see `Steps.gated`.
    """

    norm: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
    turn: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
    gate: Callable[[torch.Tensor], torch.Tensor]

    def product_input(self, states: torch.Tensor) -> Rows:
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
        buffers: QkvBuffers,
    ) -> None:
        values, keys, queries = buffers.values, buffers.keys, buffers.queries
        flat, dim = _plain(product), norms.shape[1]
        first = 0
        if values is not None:
            first = values.shape[0] * values.shape[2]
            _put(values, flat[:, :first].reshape(len(flat), -1, dim))
        turned = self.turn(flat[:, first:], norms, turns, eps)
        between = 0 if keys is None else keys.shape[0] * keys.shape[2] // dim
        for buffer, heads in ((keys, turned[:, :between]), (queries, turned[:, between:])):
            if buffer is not None:
                _put(buffer, heads)

    def gated(self, product: Rows) -> Rows:
        return self.gate(_plain(product))

    def add(self, states: torch.Tensor, product: Rows) -> None:
        states.add_(_plain(product))


def _plain(rows: Rows) -> torch.Tensor:
    return rows.exact() if isinstance(rows, Scaled) else rows


def _put(buffer: torch.Tensor, heads: torch.Tensor) -> None:
    """Put `[rows, heads, head_dim]` into `[groups, rows, heads of a group side by side]`."""
    groups, rows, width = buffer.shape
    buffer.copy_(heads.reshape(rows, groups, width).transpose(0, 1))


# -- in place, on a CPU ---------------------------------------------------------------------------


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


# -- plain formulas, to be fused -------------------------------------------------------------------


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

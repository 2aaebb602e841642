"""What lies between the products of a decoder layer: norms, rotary positions, the gate. In fp32.

On a CPU they are kernels of our own (`shards.native`) where these can be used. Otherwise they are few
in-place passes over some hundred rows, which stay in the cache; nothing is compiled, so nothing has to
be compiled at start. On a GPU each pass would go through memory, so the same formulas, written plainly,
are fused by `torch.compile`.

A *turn* is a rotary position: the two halves of a head stand side by side (`qwen3_weights` permutes
the weights so), so each pair of numbers is a complex one, turned by a complex one of length 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from shards.native.gated import gated_by
from shards.native.library import kernels


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one device.

    Attributes:
        normed: rows over their root mean square, times a weight; fp32.
        turned: a flat row of heads `[rows, heads * head_dim]`, normed by head with a weight
            `[heads, head_dim]` and turned by `[rows, 1, head_dim / 2]`; `[rows, heads, head_dim]` in
            the format of the flat row.
        gated: of gate and up, side by side: the SiLU of the one times the other.
    """

    normed: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
    turned: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
    gated: Callable[[torch.Tensor], torch.Tensor]


def steps_for(device: str, form: torch.dtype) -> Steps:
    """Return the steps for a device and the format of states: the fastest that can be used there."""
    if device.startswith("cuda") and _has_triton():
        return _fused()
    library = kernels()
    if device == "cpu" and form == torch.bfloat16 and library is not None:
        return replace(IN_PLACE, gated=gated_by(library))
    return IN_PLACE


def turns(positions: torch.Tensor, speeds: torch.Tensor) -> torch.Tensor:
    """Return the turn of each position, `[positions, 1, head_dim / 2]`, complex."""
    angles = positions[:, None, None] * speeds
    return torch.polar(torch.ones_like(angles), angles)


# -- in place --------------------------------------------------------------------------------------


def rms_normed(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """See `Steps.normed`."""
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


IN_PLACE = Steps(rms_normed, _turned, _gated)


# -- plain formulas, to be fused -------------------------------------------------------------------


def _plain_normed(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    exact = states.float()
    return exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + eps) * weight


def _plain_turned(
    flat: torch.Tensor, norms: torch.Tensor, turns: torch.Tensor, eps: float
) -> torch.Tensor:
    normed = _plain_normed(flat.view(len(flat), *norms.shape), norms, eps)
    cos, sin = torch.view_as_real(turns).unbind(-1)
    first, second = normed.view(len(flat), len(norms), -1, 2).unbind(-1)
    both = (first * cos - second * sin, first * sin + second * cos)
    return torch.stack(both, dim=-1).flatten(-2).to(flat.dtype)


def _plain_gated(product: torch.Tensor) -> torch.Tensor:
    gate, up = product.float().chunk(2, dim=1)
    return (functional.silu(gate) * up).to(product.dtype)


PLAIN = Steps(_plain_normed, _plain_turned, _plain_gated)


def _fused() -> Steps:
    return Steps(
        *(
            torch.compile(step, dynamic=True)
            for step in (_plain_normed, _plain_turned, _plain_gated)
        )
    )


def _has_triton() -> bool:
    from importlib.util import find_spec

    return find_spec("triton") is not None

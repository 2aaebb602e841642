"""Batches as one tensor, padded on the right, for engines that pad."""

from collections.abc import Iterator

import torch

from shards.pairs import Batch, TokenizedPair

_WARM_SHAPES = ((1, 32), (4, 96))  # pairs, tokens


def padded_ids(batch: Batch, *, pad_id: int) -> torch.Tensor:
    """Return the batch's token ids as int64 `[pairs, longest]`."""
    longest = max(map(len, batch))
    return torch.tensor([pair.token_ids + [pad_id] * (longest - len(pair)) for pair in batch])


def padded_inputs(batch: Batch, *, pad_id: int, types: bool) -> dict[str, torch.Tensor]:
    """Return the inputs of an encoder by their usual names, int64 `[pairs, longest]`.

    Args:
        types: whether the model takes token types.
    """
    ids = padded_ids(batch, pad_id=pad_id)
    places = torch.arange(ids.shape[1])
    lengths = torch.tensor([len(pair) for pair in batch])
    inputs = {"input_ids": ids, "attention_mask": (places < lengths[:, None]).long()}
    if types:
        starts = torch.tensor([pair.document_start for pair in batch])
        inputs["token_type_ids"] = (places >= starts[:, None]).long()
    return inputs


def warm_up_batches(max_length: int, token_id: int = 0) -> Iterator[list[TokenizedPair]]:
    """Yield small batches, one of them of different lengths, to run before the first request."""
    for pairs, tokens in _WARM_SHAPES:
        longest = min(tokens, max_length)
        lengths = [max(1, longest - at) for at in range(pairs)]
        yield [TokenizedPair([token_id] * length, length // 2, False) for length in lengths]

"""Decoders that transformers computes: over flat rows where that is the same, else padded.

Whether it is the same is first tried with two tokens (`plain`), then measured: some pairs, with and
without a prefix that is shared, new and kept, must get the states that they get padded.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from shards.devices import moved
from shards.engines.flat import FlatBody, pack_linears
from shards.engines.padding import padded_ids, warm_up_batches
from shards.engines.plain import NotPlain, attending_flat
from shards.engines.prefixes import PrefixCache
from shards.pairs import Batch, EncodedPair, Prefix
from shards.refusal import Refusal
from shards.work import Work, padded_work

MOST_APART = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.03}
"""How far the state of a pair may be from that of the padded batch, as a share of its length."""

_TRIAL_PREFIX = (5, 12)  # where its parts end
_TRIAL_OWN = (1, 28, 9)  # tokens
_ROOM = 1 << 30  # for the prefixes of these, so that they are kept


class PaddedBody:
    """A transformers model, on right-padded batches; see `bodies.Body`.

    Attention is causal, so the last real token cannot see the padding, no mask is needed and
    scaled_dot_product_attention keeps its fast path. Positions start at 0 in every row; the official
    code pads on the left, which shifts them, and rotary positions are relative.
    """

    def __init__(self, body: Any, device: str) -> None:
        self.last_work = Work([], [])
        self.on_step: Callable[[], None] = lambda: None
        self.prefixes = PrefixCache(0)
        self._body = body
        self._device = device
        self._max_length = int(body.config.max_position_embeddings)

    def warm_up(self) -> None:
        """See `bodies.Body`."""
        for batch in warm_up_batches(self._max_length):
            self.last_states(batch)

    def last_states(self, batch: Batch) -> torch.Tensor:
        """See `bodies.Body`."""
        ids = moved(padded_ids(batch, pad_id=0), self._device)
        states: torch.Tensor = self._body(input_ids=ids, use_cache=False).last_hidden_state
        ends = moved(torch.tensor([len(pair) - 1 for pair in batch]), self._device)
        self.last_work = padded_work(batch)
        return states[torch.arange(len(batch), device=self._device), ends]


@dataclass(frozen=True, slots=True)
class Decoder:
    """A body, and how it was chosen.

    Attributes:
        body: see `bodies.Body`.
        notes: what the operator should know of it.
    """

    body: FlatBody | PaddedBody
    notes: tuple[str, ...] = ()

    @property
    def is_flat(self) -> bool:
        return isinstance(self.body, FlatBody)

    @property
    def head_dim(self) -> int:
        """How wide the heads of our attention are; 0 where it is not used."""
        return self.body.heads.head_dim if isinstance(self.body, FlatBody) else 0


def decoder_of(
    body: Any, *, dtype: str, device: str, max_length: int, cache: PrefixCache
) -> Decoder:
    """Return what computes a transformers model, whose final norm was taken out.

    Args:
        max_length: the most tokens of a pair.
        cache: for the prefixes that pairs share.

    Raises:
        Refusal: neither way gives a pair the same state in any batch.
    """
    padded = PaddedBody(body, device)
    pairs = _trial_pairs(body.get_input_embeddings().weight.shape[0])
    expected = _states(padded, pairs)
    if device == "cpu":
        pack_linears(body, dtype, device)
    try:
        with attending_flat(body, max_length=max_length, device=device) as heads:
            _expect_same(FlatBody(body, heads, device, PrefixCache(_ROOM)), pairs, expected, dtype)
    except NotPlain as why:
        _expect_padding_unseen(padded, pairs, dtype)
        return Decoder(padded, (f"batches are padded, and prefixes are not shared: {why}",))
    return Decoder(FlatBody(body, heads, device, cache))


def _trial_pairs(rows: int) -> list[EncodedPair]:
    """Return pairs of one query and of different lengths, of any tokens."""
    draw = random.Random(0)
    shared = draw.choices(range(rows), k=_TRIAL_PREFIX[-1])
    prefix = Prefix(tuple(shared), _TRIAL_PREFIX)
    ids = ([*shared, *draw.choices(range(rows), k=own)] for own in _TRIAL_OWN)
    return [EncodedPair(one, len(one), False, prefix) for one in ids]


def _expect_same(body: FlatBody, pairs: Batch, expected: torch.Tensor, dtype: str) -> None:
    """Have pairs computed flat in all ways there are: a new prefix, a kept one, and none.

    Raises:
        NotPlain: some state is not the one expected.
    """
    plain = [replace(pair, prefix=None) for pair in pairs]
    for batch, how in ((pairs, "new"), (pairs, "kept"), (plain, "no")):
        apart = _apart(_states(body, batch), expected)
        if not apart <= MOST_APART[dtype]:  # NaN is not
            raise NotPlain(
                f"over flat rows, with {how} prefix, a state is {apart:.1%} off, and "
                f"{MOST_APART[dtype]:.1%} is the most for {dtype}"
            )


def _expect_padding_unseen(body: PaddedBody, pairs: Batch, dtype: str) -> None:
    """Have pairs of different lengths computed padded, and alone.

    Raises:
        Refusal: padding changes states, so that scores would depend on the batch.
    """
    alone = torch.cat([_states(body, [pair]) for pair in pairs])
    apart = _apart(_states(body, pairs), alone)
    if not apart <= MOST_APART[dtype]:
        raise Refusal(
            f"the decoder gives a pair another state where a longer one is beside it ({apart:.1%} off), as "
            "if tokens saw those after them: only causal decoders are scored; use another checkpoint"
        )


def _apart(states: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((states - expected).norm(dim=1) / expected.norm(dim=1)).max())


@torch.inference_mode()
def _states(body: FlatBody | PaddedBody, batch: Batch) -> torch.Tensor:
    return body.last_states(batch).float()

"""Decoders that transformers computes: in packed batches where these are exact, else padded.

Two checks decide. `packing_probe` runs the model on two tokens. Then some pairs are computed with a
shared prefix, new and cached, and without one: they must get the states that they get padded.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from shards.cost import Work, padded_work
from shards.engines.decoder.packed_forward import FlatBody, pack_linears
from shards.engines.decoder.packing_probe import NotPlain, attending_flat
from shards.engines.layers.padding import padded_ids, padded_inputs, warm_up_batches
from shards.engines.prefix_cache import PrefixCache
from shards.machine.devices import moved
from shards.pairs import Batch, Prefix, TokenizedPair
from shards.refusal import Refusal

MOST_APART = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.03}
"""The most that the state of a pair may be from that of the padded batch, a share of its length."""

_PROBE_PREFIX = (5, 12)  # where the parts of the probe's prefix end
_PROBE_OWN = (1, 28, 9)  # own tokens of the probe's pairs
_ROOM = 1 << 30  # bytes: enough to cache all prefixes of the probe


class PaddedBody:
    """A transformers model on right-padded batches; see `body.Body`.

    Attention is causal, so the last real token cannot see the padding: no mask is needed, and
    scaled_dot_product_attention keeps its fast path. Positions start at 0 in every row. The
    official code pads on the left, which shifts positions; rotary positions are relative, so scores
    are the same.
    """

    def __init__(self, body: Any, device: str) -> None:
        self.last_work = Work([], [])
        self.on_step: Callable[[], None] = lambda: None
        self.prefixes = PrefixCache(0)
        self._body = body
        self._device = device
        self._max_length = int(body.config.max_position_embeddings)

    def warm_up(self) -> None:
        """See `body.Body`."""
        for batch in warm_up_batches(self._max_length):
            self.last_states(batch)

    def last_states(self, batch: Batch) -> torch.Tensor:
        """See `body.Body`."""
        ids = moved(padded_ids(batch, pad_id=0), self._device)
        states: torch.Tensor = self._body(input_ids=ids, use_cache=False).last_hidden_state
        self.last_work = padded_work(batch)
        return states[torch.arange(len(batch), device=self._device), self._ends(batch)]

    def _ends(self, batch: Batch) -> torch.Tensor:
        return moved(torch.tensor([len(pair) - 1 for pair in batch]), self._device)


class MaskedBody(PaddedBody):
    """A transformers model with bidirectional attention, on right-padded batches with a mask."""

    def last_states(self, batch: Batch) -> torch.Tensor:
        """See `body.Body`."""
        inputs = padded_inputs(batch, pad_id=0, types=False)
        if bool(inputs["attention_mask"].all()):
            del inputs["attention_mask"]
        on_device = {name: moved(tensor, self._device) for name, tensor in inputs.items()}
        states: torch.Tensor = self._body(**on_device, use_cache=False).last_hidden_state
        self.last_work = padded_work(batch)
        return states[torch.arange(len(batch), device=self._device), self._ends(batch)]


@dataclass(frozen=True, slots=True)
class Decoder:
    """A body, and the reasons for its choice.

    Attributes:
        body: see `body.Body`.
        notes: the reasons, for the operator.
    """

    body: FlatBody | PaddedBody
    notes: tuple[str, ...] = ()

    @property
    def is_flat(self) -> bool:
        return isinstance(self.body, FlatBody)

    @property
    def head_dim(self) -> int:
        """The width of the heads of our attention; 0 where it is not used."""
        return self.body.heads.head_dim if isinstance(self.body, FlatBody) else 0


def decoder_of(
    body: Any,
    *,
    dtype: str,
    device: str,
    max_length: int,
    cache: PrefixCache,
    is_causal: bool = True,
) -> Decoder:
    """Return the body for a transformers model whose final norm was taken out.

    Args:
        max_length: the most tokens of a pair.
        cache: for the prefixes that pairs share.
        is_causal: whether tokens see only those before them.

    Raises:
        Refusal: neither packed nor padded batches give a pair the same state in any batch.
    """
    if not is_causal:
        masked = MaskedBody(body, device)
        pairs = _probe_pairs(body.get_input_embeddings().weight.shape[0])
        _expect_padding_unseen(masked, pairs, dtype)
        return Decoder(masked, ("batches are padded: tokens see those after them",))
    padded = PaddedBody(body, device)
    pairs = _probe_pairs(body.get_input_embeddings().weight.shape[0])
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


def _probe_pairs(rows: int) -> list[TokenizedPair]:
    """Return pairs of one query and of different lengths, of any tokens."""
    draw = random.Random(0)
    shared = draw.choices(range(rows), k=_PROBE_PREFIX[-1])
    prefix = Prefix(tuple(shared), _PROBE_PREFIX)
    ids = ([*shared, *draw.choices(range(rows), k=own)] for own in _PROBE_OWN)
    return [TokenizedPair(token_ids, len(token_ids), False, prefix) for token_ids in ids]


def _expect_same(body: FlatBody, pairs: Batch, expected: torch.Tensor, dtype: str) -> None:
    """Compute packed pairs with a new prefix, with a cached one, and with none.

    Raises:
        NotPlain: some state is not the one expected.
    """
    plain = [replace(pair, prefix=None) for pair in pairs]
    for batch, how in ((pairs, "new"), (pairs, "kept"), (plain, "no")):
        apart = _apart(_states(body, batch), expected)
        if not apart <= MOST_APART[dtype]:  # not `>`, which lets NaN pass
            raise NotPlain(
                f"in a packed batch, with {how} prefix, a state is {apart:.1%} off, and "
                f"{MOST_APART[dtype]:.1%} is the most for {dtype}"
            )


def _expect_padding_unseen(body: PaddedBody, pairs: Batch, dtype: str) -> None:
    """Compute pairs of different lengths padded, and alone.

    Raises:
        Refusal: padding changes states, so that scores would depend on the batch.
    """
    alone = torch.cat([_states(body, [pair]) for pair in pairs])
    apart = _apart(_states(body, pairs), alone)
    if not apart <= MOST_APART[dtype]:
        raise Refusal(
            f"the decoder gives a pair another state beside a longer pair ({apart:.1%} off), as if "
            "tokens saw those after them: only causal decoders are scored; use another checkpoint"
        )


def _apart(states: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((states - expected).norm(dim=1) / expected.norm(dim=1)).max())


@torch.inference_mode()
def _states(body: FlatBody | PaddedBody, batch: Batch) -> torch.Tensor:
    return body.last_states(batch).float()

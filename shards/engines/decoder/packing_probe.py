"""A probe of a decoder: whether its attention is plain and nothing else mixes tokens.

Only such a decoder can run over packed batches. The probe tries the model itself and needs no list
of families. It runs two tokens with an attention that notes its arguments and lets each token see
itself alone, and it examines the masks. Plain means: scores are scaled products and nothing else,
each token sees all before it, and the states of a token depend on nothing else but the token and
its position.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from shards.engines.decoder.packed_forward import NAME, attend
from shards.engines.layers.heads import Heads

LOOKING = f"{NAME}-looking"  # the same attention function, and masks are examined

_SAME = 1e-3  # as a share of a key's length; mostly the keys are equal to the last bit
_HARMLESS = frozenset(
    {*("scaling", "dropout", "position_ids", "use_cache", "cache_position"), "position_embeddings"}
)
_MORE_HARMLESS = frozenset({"output_attentions", "output_hidden_states", "return_dict"})

Mask = Callable[..., Any]
"""A mask function of transformers: whether a query sees a key, by batch, head and both places."""


class NotPlain(Exception):
    """A decoder cannot run over packed batches; the message is the reason."""


@contextmanager
def attending_flat(body: Any, *, max_length: int, device: str) -> Iterator[Heads]:
    """Set a model to the attention function `packed_forward.NAME`; yield its heads in each layer.

    Args:
        max_length: the most tokens of a pair; limits that only longer pairs would meet are ignored.

    Raises:
        NotPlain: the model is not plain, or the block raised this; the model is restored.
    """
    before = body.config._attn_implementation
    try:
        yield _found(body, max_length, device)
    except NotPlain:
        _set(body, before)
        raise
    except Exception as error:  # an unknown model may raise anything in a foreign attention
        _set(body, before)
        reason = str(error).strip().split("\n")[0]
        raise NotPlain(f"the probe failed: {type(error).__name__}: {reason}") from error


def _found(body: Any, max_length: int, device: str) -> Heads:
    seen: list[bool] = []
    _register(_looking_mask(max_length, seen))
    _set(body, LOOKING)
    heads = _look(body, (3, 5), (0, 1), max_length, device).heads(len(body.layers))
    if not seen:
        raise NotPlain("it makes no mask, so which tokens see each other is unknown")
    _set(body, NAME)
    near, far = (
        _look(body, tokens, positions, max_length, device).keys
        for tokens, positions in (((3, 5), (1, 1)), ((7, 5), (max_length - 1, 1)))
    )
    for at, (one, other) in enumerate(zip(near, far, strict=True)):
        if not (one[:, 1] - other[:, 1]).norm() <= _SAME * one[:, 1].norm():
            raise NotPlain(
                f"in layer {at} tokens depend on each other not by attention alone, or positions "
                "depend on the longest pair of a batch"
            )
    return heads


def _register(mask: Mask) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    for name in (NAME, LOOKING):
        AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(LOOKING, mask)


def _set(body: Any, name: str) -> None:
    if body.config._attn_implementation != name:
        body.set_attn_implementation(name)
    if body.config._attn_implementation != name:
        raise NotPlain("its attention is its own, and transformers cannot replace it")


def _looking_mask(max_length: int, seen: list[bool]) -> Mask:
    """Return a mask factory that makes no mask, but checks that it would be plainly causal."""

    def look(*, mask_function: Mask, device: Any, **_: Any) -> None:
        seen.append(True)
        places = torch.arange(max_length, device=device)
        zero = places.new_zeros(())
        for place in (0, max_length // 2, max_length - 1):
            sees = torch.as_tensor(mask_function(zero, zero, zero + place, places))
            if not torch.equal(sees.expand(max_length), places <= place):
                raise NotPlain(_odd_sight(sees.expand(max_length), place))

    return look


def _odd_sight(sees: torch.Tensor, place: int) -> str:
    if sees[place + 1 :].any():
        return "tokens see those after them"
    return (
        f"a token sees {int(sees.sum())} of the {place + 1} up to itself; a `max_length` of so "
        "many would hide none"
    )


def _look(
    body: Any, tokens: tuple[int, ...], positions: tuple[int, ...], max_length: int, device: str
) -> "_Look":
    look = _Look(max_length)
    with torch.inference_mode():
        body(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            attends=look,
        )
    return look


class _Look:
    """An attention that lets each token see itself alone and rejects one that is not plain.

    It implements `packed_forward.Attends`.

    Attributes:
        keys: the keys of each layer, `[kv_heads, tokens, head_dim]`.
    """

    def __init__(self, max_length: int) -> None:
        self.keys: list[torch.Tensor] = []
        self._max_length = max_length
        self._shapes: set[tuple[int, int, int]] = set()
        self._layers: list[int] = []

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        given: Mapping[str, Any],
    ) -> torch.Tensor:
        """See `packed_forward.Attends`."""
        if why := self._why_not(module, mask, given):
            raise NotPlain(why)
        if key.shape != value.shape or query.shape[2:] != key.shape[2:]:
            raise NotPlain("its queries, keys and values have heads of different sizes")
        heads, kv_heads, dim = query.shape[1], key.shape[1], key.shape[3]
        self._shapes.add((heads, kv_heads, dim))
        self._layers.append(module.layer_idx)
        self.keys.append(key[0].float())
        return value.repeat_interleave(heads // kv_heads, dim=1).transpose(1, 2)

    def _why_not(self, module: Any, mask: Any, given: Mapping[str, Any]) -> str:
        if mask is not None:
            return "it makes a mask of its own"
        if not getattr(module, "is_causal", True) or given.get("is_causal") is False:
            return "tokens see those after them"
        window = given.get("sliding_window")
        if window is not None and window < self._max_length:
            return (
                f"a token sees {window} of up to {self._max_length}; a `max_length` of so many "
                "would hide none"
            )
        if not isinstance(given.get("scaling"), float):
            return "the scale of its scores is unknown"
        known = _HARMLESS | _MORE_HARMLESS | {"sliding_window", "is_causal"}
        odd = [name for name, value in given.items() if name not in known and value is not None]
        return f"its attention takes {', '.join(odd)}" if odd else ""

    def heads(self, layers: int) -> Heads:
        """Return the heads that were seen.

        Raises:
            NotPlain: layers differ, or some do not attend.
        """
        if self._layers != list(range(layers)):
            raise NotPlain(f"of its {layers} layers {len(self._layers)} attend, in another order")
        if len(self._shapes) > 1:
            raise NotPlain("its layers have different heads")
        heads, kv_heads, dim = self._shapes.pop()
        return Heads(layers, heads, kv_heads, dim)

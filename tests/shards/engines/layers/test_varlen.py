"""The kernel of a GPU: the first that is installed, takes the call, and computes right numbers."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from shards.engines.layers import local_attention, pair_attention, varlen
from shards.engines.layers.pair_attention import PairAttention
from shards.engines.layers.varlen import Choice, Kernel, by_flash_attn, by_torch, check, choice
from tests.shards.engines import varlens

BF16, FP16 = torch.bfloat16, torch.float16
STAND_INS = {
    "torch": by_torch(varlens.varlen_attn),
    "flash-attn": by_flash_attn(varlens.flash_attn_varlen_func),
}


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Choice]:
    """Return a function that chooses among kernels for a GPU, and computes on the CPU."""

    def choose(
        kernels: dict[str, Callable[[], Kernel]],
        capability: tuple[int, int] = (9, 0),
        form: torch.dtype = BF16,
        dim: int = 64,
    ) -> Choice:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(varlen, "_KERNELS", tuple(kernels.items()))
        return choice.__wrapped__("cpu", form, dim)

    return choose


def missing() -> Kernel:
    raise ImportError("No module named 'flash_attn'")


def test_the_installed_pytorch_takes_the_call() -> None:
    """The signature and the operation behind it are checked on tensors without numbers."""
    from torch.nn.attention.varlen import varlen_attn

    kernel = by_torch(varlen_attn)
    for window, kv_heads in ((varlen.CAUSAL, 2), (varlen.FULL, 6), ((64, 64), 6)):
        with torch.device("meta"):
            queries, keys = (torch.empty(10, heads, 8, dtype=BF16) for heads in (6, kv_heads))
            ends = torch.empty(3, dtype=torch.int32)
        found = kernel(queries, keys, keys, varlen.Spans(ends, ends, 6, 6), window)
        assert found.shape == queries.shape


def test_an_older_pytorch_is_refused_before_it_is_called() -> None:
    def varlen_attn(
        query: Any,
        key: Any,
        value: Any,
        cu_seq_q: Any,
        cu_seq_k: Any,
        max_q: int,
        max_k: int,
        is_causal: bool = False,
        return_aux: Any = None,
    ) -> None:
        pytest.fail("called")

    with pytest.raises(TypeError, match="scale"):
        by_torch(varlen_attn)


@pytest.mark.parametrize("dim", [8, 128])
@pytest.mark.parametrize("form", [BF16, FP16])
@pytest.mark.parametrize("name", STAND_INS)
def test_a_kernel_as_documented_passes_the_check(name: str, form: torch.dtype, dim: int) -> None:
    check(STAND_INS[name], "cpu", form, dim)


WRONG: dict[str, Callable[..., torch.Tensor]] = {
    "sees one key more": lambda call, *parts, window, **rest: call(
        *parts, window=(window[0], window[1] + 1 if window[1] >= 0 else -1), **rest
    ),
    "scales again": lambda call, queries, *parts, **rest: call(queries / 8, *parts, **rest),
    "is nothing": lambda call, *parts, **rest: call(*parts, **rest) * float("nan"),
    "takes heads by turns": lambda call, queries, *parts, **rest: call(
        queries.view(len(queries), 2, -1, queries.shape[2]).transpose(1, 2).reshape(queries.shape),
        *parts,
        **rest,
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_kernel_that_computes_other_numbers_is_detected(fault: str) -> None:
    def kernel(
        queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, spans: Any, window: Any
    ) -> torch.Tensor:
        def call(
            queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, window: Any
        ) -> torch.Tensor:
            return STAND_INS["torch"](queries, keys, values, spans, window)

        return WRONG[fault](call, queries, keys, values, window=window)

    with pytest.raises(ArithmeticError, match="differs by"):
        check(kernel, "cpu", BF16, 64)


def test_the_first_kernel_that_can_serve_does(chosen: Callable[..., Choice]) -> None:
    found = chosen({name: lambda name=name: STAND_INS[name] for name in STAND_INS})
    assert found == Choice(STAND_INS["torch"], "attention is torch")


def test_the_next_kernel_takes_its_place_and_the_reason_is_reported(
    chosen: Callable[..., Choice],
) -> None:
    def wrong() -> Kernel:
        return lambda queries, *rest: torch.zeros_like(queries)

    found = chosen({"torch": wrong, "flash-attn": lambda: STAND_INS["flash-attn"]})
    assert found.kernel is STAND_INS["flash-attn"]
    assert found.summary.startswith("attention is flash-attn; torch: it differs by ")
    none = chosen({"torch": wrong, "flash-attn": missing})
    assert none.kernel is None
    assert none.summary.startswith("attention is batched products over groups; torch: it differs")
    assert none.summary.endswith("; flash-attn: No module named 'flash_attn'")


@pytest.mark.parametrize(
    ("capability", "form", "dim", "why"),
    [
        ((7, 5), FP16, 64, r"capability 8\.0 \(Ampere\), this one has 7\.5"),
        ((9, 0), torch.float32, 64, "in fp16 and bf16 alone"),
        ((9, 0), BF16, 260, "at most 256 numbers in steps of 8, not 260"),
        ((9, 0), BF16, 12, "in steps of 8, not 12"),
    ],
)
def test_flash_attention_is_not_tried_beyond_its_limits(
    chosen: Callable[..., Choice],
    capability: tuple[int, int],
    form: torch.dtype,
    dim: int,
    why: str,
) -> None:
    found = chosen({"torch": lambda: pytest.fail("tried")}, capability, form, dim)
    assert found.kernel is None
    assert re.search(why, found.summary)


def test_a_build_without_flash_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    with pytest.raises(RuntimeError, match="has no flash attention"):
        varlen._torch_kernel()


@pytest.mark.parametrize("name", STAND_INS)
@pytest.mark.parametrize("reach", [None, 3])
def test_pairs_of_an_encoder_attend_as_groups_do(
    name: str, reach: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, dim, lengths = 3, 8, [1, 2, 4, 5, 9, 30]
    torch.manual_seed(0)
    products = torch.randn(sum(lengths), 3, heads, dim)

    def ways() -> tuple[PairAttention, PairAttention]:
        made = (dim, "cpu", torch.float32)
        if reach is None:
            return pair_attention.attention_for(lengths, *made)
        return local_attention.local_attention_for(lengths, reach, *made)

    def computed(attend: PairAttention) -> torch.Tensor:
        out = torch.full((sum(lengths), heads * dim), float("nan"))
        attend(products, out)
        return out

    expected = computed(ways()[0])
    monkeypatch.setattr(varlen, "kernel_for", lambda *asked: STAND_INS[name])
    whole, first = map(computed, ways())
    torch.testing.assert_close(whole, expected)
    starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    torch.testing.assert_close(first[starts], expected[starts])
    assert first.isnan().all(1).sum() == sum(lengths) - len(lengths)  # other rows are unchanged

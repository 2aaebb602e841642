"""Of our product and oneDNN's the faster one serves, and the notes have the measurement."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from shards.engines import formats
from shards.engines.layers import race
from shards.engines.layers.int8 import Int8Linear, int8_linear, int8_works
from shards.engines.layers.linear import _Packed, pack
from shards.native.bf16_product import Bf16Product
from shards.native.int8_product import Int8Product
from tests.shards.native.here import needs_kernels

pytestmark = [
    needs_kernels,
    pytest.mark.skipif(not int8_works(), reason="oneDNN has no int8 kernel for this CPU"),
]

SHAPE = (1024, 512)
OURS = {"bf16": Bf16Product, "int8": Int8Product}
ONEDNN: dict[str, Any] = {"bf16": _Packed, "int8": Int8Linear}


@pytest.fixture(autouse=True)
def first_in_the_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(race, "_races", {})
    yield


def slowed(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each product of a kind take a hundred times its time on the core."""
    run: Callable[..., Any] = kind.__call__

    def slow(product: Any, states: Any) -> Any:
        for _ in range(100):
            run(product, states)
        return run(product, states)

    monkeypatch.setattr(kind, "__call__", slow)


def made(dtype: str) -> Any:
    weight = torch.randn(SHAPE)
    return int8_linear([weight]) if dtype == "int8" else pack(weight, None, dtype, "cpu")


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_onednn_serves_where_our_kernel_is_slow(
    dtype: str, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(OURS[dtype], monkeypatch)
    product = made(dtype)
    assert isinstance(product, ONEDNN[dtype])
    assert product(torch.ones(3, SHAPE[1], dtype=torch.bfloat16)).shape == (3, SHAPE[0])
    assert race.lost(dtype, tier) == ("1024 x 512",)
    assert formats.onednn_products("cpu", dtype) == ("1024 x 512",)
    *_, note = formats.kernel_notes("cpu", dtype, 64)
    assert note.startswith(f"products in {dtype}, measured: oneDNN's serve for 1024 x 512 with ")
    assert note.endswith(" times of ours")


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_ours_serves_where_onednn_is_slow(
    dtype: str, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(ONEDNN[dtype], monkeypatch)
    assert isinstance(made(dtype), OURS[dtype])
    assert race.lost(dtype, tier) == ()
    *_, note = formats.kernel_notes("cpu", dtype, 64)
    assert note.startswith(f"products in {dtype}, measured: ours serve for 1024 x 512 with ")


def test_a_shape_is_raced_once_and_small_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(OURS["bf16"], monkeypatch)
    assert isinstance(made("bf16"), _Packed)
    monkeypatch.setattr(race, "_gain", lambda *given: pytest.fail("raced again"))
    assert isinstance(made("bf16"), _Packed)
    assert isinstance(pack(torch.ones(64, 64), None, "bf16", "cpu"), Bf16Product)

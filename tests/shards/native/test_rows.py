"""Rows converted, added and gated by the kernels, beside PyTorch's operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shards.native.arguments import WrongArgument
from shards.native.rows import Rows, Scaled, row_adder, row_converter, row_gate
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import ROUNDED, drawn, exact, forms, near_codes, sizes

pytestmark = needs_kernels


@given(sizes, forms, forms, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_added(
    size: tuple[int, int], form: torch.dtype, other: torch.dtype, scaled: bool, seed: int
) -> None:
    states = drawn(*size, form, seed, scaled=False)
    product = drawn(*size, other, seed + 1, scaled=scaled)
    assert isinstance(states, torch.Tensor)
    expected = exact(states) + exact(product)
    row_adder(library())(states, product)
    torch.testing.assert_close(states.float(), expected, rtol=ROUNDED[form], atol=1e-6)


@given(sizes, forms, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_codes(size: tuple[int, int], form: torch.dtype, scaled: bool, seed: int) -> None:
    rows = drawn(*size, form, seed, scaled=scaled)
    near_codes(row_converter(library(), torch.uint8)(rows), exact(rows))


@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16])
def test_another_format(form: torch.dtype) -> None:
    rows = drawn(9, 33, torch.float32, 1, scaled=True)
    found = row_converter(library(), form)(rows)
    torch.testing.assert_close(exact(found), exact(rows), rtol=ROUNDED[form], atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("at", [0, 15, 40, 63, 65])
def test_nan_and_infinity_are_not_lost_in_codes(bad: float, at: int) -> None:
    """Each becomes the scale of its row; other rows are unchanged."""
    rows = drawn(3, 66, torch.float32, 1, scaled=False)
    assert isinstance(rows, torch.Tensor)
    convert = row_converter(library(), torch.uint8)
    expected = convert(rows)
    rows[1, at] = bad
    found = convert(rows)
    assert isinstance(found, Scaled)
    assert isinstance(expected, Scaled)
    assert found.scales.isfinite().tolist() == [True, False, True]
    assert not found.exact()[1].isfinite().any()
    assert torch.equal(found.exact()[::2], expected.exact()[::2])


def test_rows_of_a_larger_tensor() -> None:
    """Rows need not follow one another; the numbers beside them are unchanged."""
    larger = torch.zeros(4, 10)
    row_adder(library())(larger[1:3, 2:5], torch.ones(2, 3))
    assert larger.sum() == 6
    assert larger[1:3, 2:5].eq(1).all()


def test_addends_of_another_shape_or_format_are_rejected() -> None:
    with pytest.raises(WrongArgument, match="rows is"):
        row_adder(library())(torch.ones(2, 8), torch.ones(2, 7))
    with pytest.raises(WrongArgument, match="states is"):
        row_adder(library())(torch.ones(2, 8, dtype=torch.float64), torch.ones(2, 8))


def gated(product: Rows, form: torch.dtype = torch.bfloat16) -> Rows:
    return row_gate(library(), form)(product)


def gated_exactly(product: Rows) -> torch.Tensor:
    gate, up = exact(product).chunk(2, dim=1)
    return functional.silu(gate) * up


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (1, 15), (3, 16), (17, 33), (200, 96), (0, 8)])
@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16])
def test_a_gated_row_is_rounded_once(rows: int, width: int, form: torch.dtype) -> None:
    torch.manual_seed(rows)
    product = (torch.randn(rows, 2 * width) * 4).to(form)
    before = product.clone()
    tolerance = 2**-8 if form == torch.bfloat16 else 2e-6
    torch.testing.assert_close(
        exact(gated(product, form)), gated_exactly(product), rtol=tolerance, atol=1e-30
    )
    assert torch.equal(product, before)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (5, 31), (70, 256)])
def test_the_gate_applies_scales_and_makes_codes(rows: int, width: int) -> None:
    torch.manual_seed(rows)
    product = Scaled(torch.randn(rows, 2 * width).to(torch.bfloat16), torch.rand(rows) * 4)
    near_codes(gated(product, torch.uint8), gated_exactly(product))


def test_extreme_gates() -> None:
    gates = torch.tensor([-3e38, -1e4, -200.0, -90.0, -0.0, 90.0, 200.0, 3e38, float("nan")])
    product = torch.stack([gates, torch.ones(9)], dim=1).to(torch.bfloat16)
    found = exact(gated(product))
    right = gated_exactly(product)
    right[right.abs() < 1e-37] = 0  # numbers below the normal range of fp32 are lost
    torch.testing.assert_close(found, right, rtol=2**-8, atol=1e-37, equal_nan=True)


def test_the_gate_rejects_another_format_or_layout() -> None:
    product = torch.ones(4, 8)
    with pytest.raises(WrongArgument, match="product is torch"):
        gated(product.half())
    with pytest.raises(WrongArgument, match="in one piece"):
        gated(product.t().contiguous().t())
    with pytest.raises(WrongArgument):
        gated(product[:, :7])
    with pytest.raises(WrongArgument, match="32769 numbers: the kernel writes 1 to 32768"):
        gated(torch.ones(1, 2 * 32769))
    with pytest.raises(WrongArgument, match="scales of product"):
        gated(Scaled(product, torch.ones(3)))

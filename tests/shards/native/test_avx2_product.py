"""Products of states in 16 or 8 bits and weights in bytes, beside the same sums in PyTorch."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.machine.instructions import AVX2, AVX2_VNNI
from shards.native.arguments import WrongArgument
from shards.native.avx2_product import Avx2Product
from shards.native.library import found_kernels
from tests.shards.native.here import avx2_library, needs_avx2

pytestmark = needs_avx2

ROUNDED = 4e-7  # the largest relative distance after the roundings of scales, sum and bias


def weight_of(outputs: int, inputs: int, form: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-2, 2, outputs)[:, None]  # outputs of very different size
    return (torch.randn(outputs, inputs, generator=generator) * spread).to(form)


def states_of(rows: int, inputs: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-3, 3, rows)[:, None]
    return torch.randn(rows, inputs, generator=generator) * spread


def levels_of(inputs: int) -> int:
    """Return the largest code of states with so many numbers."""
    most = 127 if found_kernels().tier == AVX2_VNNI else 32767
    return min(most, (2**31 - 1) // (127 * inputs) - 1)


def coded(rows: torch.Tensor, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes of rows as integers, and their scales, in the arithmetic of the kernel."""
    largest = rows.float().abs().amax(1, keepdim=True).clamp_min(1e-30)
    all_levels = torch.full_like(
        largest, levels
    )  # `levels / largest` would multiply by 1 / largest
    codes = (rows.float() * (all_levels / largest)).round()
    return codes.to(torch.int64), largest / all_levels


def expected(
    states: torch.Tensor, weights: Sequence[torch.Tensor], bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the exact sums of the codes, scaled in fp64."""
    codes, scales = coded(states, levels_of(states.shape[1]))
    bytes_, of_outputs = coded(torch.cat(list(weights)).float(), 127)
    sums = codes @ bytes_.T
    assert int(sums.abs().max()) < 2**31
    product = sums.double() * scales.double() * of_outputs.double().T
    return product if bias is None else product + bias.double()


@given(
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 7, 15, 16, 17, 64, 131, 1024]),
    st.sampled_from([(1,), (16,), (17,), (64,), (3, 20), (16, 48), (130,)]),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_the_product_is_that_of_the_codes(
    rows: int, inputs: int, outputs: tuple[int, ...], form: torch.dtype, biased: bool, seed: int
) -> None:
    states = states_of(rows, inputs, seed)
    weights = [weight_of(count, inputs, form, seed + count) for count in outputs]
    bias = torch.randn(sum(outputs)) if biased else None
    found = Avx2Product(avx2_library(), weights, bias)(states).double()
    exact = expected(states, weights, bias)
    terms = exact.abs() + (0 if bias is None else 2 * bias.double().abs())
    assert ((found - exact).abs() <= ROUNDED * terms + 1e-30).all()


@pytest.mark.parametrize("inputs", [2, 513, 1024, 3072, 32768])
def test_the_largest_sums_do_not_overflow(inputs: int) -> None:
    """Every state and every weight has its last code, and all products have one sign."""
    for sign in (1.0, -1.0):
        product = Avx2Product(avx2_library(), [torch.full((16, inputs), sign)])
        found = product(torch.ones(7, inputs))
        torch.testing.assert_close(found, torch.full((7, 16), sign * inputs), rtol=1e-6, atol=0.0)


def test_the_product_is_near_that_of_exact_numbers(narrow_tier: str) -> None:
    """The same weights, rounded, in fp64: codes of 16 bits lose next to nothing."""
    states, weight = states_of(50, 1024), weight_of(96, 1024, torch.float32)
    codes, scales = coded(weight, 127)
    exact = states.double() @ (codes.double() * scales.double()).T
    error = (Avx2Product(avx2_library(), [weight])(states).double() - exact).norm(dim=1)
    bound = 2e-4 if narrow_tier == AVX2 else 2e-2
    assert (error <= bound * exact.norm(dim=1)).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_row_does_not_depend_on_how_many_there_are(threads: int) -> None:
    """Rows go through in blocks and groups of any size."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        product = Avx2Product(avx2_library(), [weight_of(72, 128, torch.bfloat16)])
        states = states_of(600, 128)
        whole = product(states)
        for first, last in ((0, 1), (3, 290), (250, 600), (599, 600)):
            assert torch.equal(product(states[first:last]), whole[first:last])
    finally:
        torch.set_num_threads(before)


def test_states_may_lie_apart_and_in_other_formats() -> None:
    product = Avx2Product(avx2_library(), [weight_of(20, 64, torch.float32)])
    wide = states_of(9, 130)
    assert torch.equal(product(wide[:, 3:67]), product(wide[:, 3:67].contiguous()))
    assert torch.equal(product(wide[:, :64].bfloat16()), product(wide[:, :64].bfloat16().float()))
    assert product(wide[:0, :64]).shape == (0, 20)


def test_zeros_stay_zero() -> None:
    assert not Avx2Product(avx2_library(), [torch.zeros(20, 64)])(states_of(3, 64)).any()
    product = Avx2Product(avx2_library(), [weight_of(20, 64, torch.float32)])
    assert not product(torch.zeros(3, 64)).any()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_spoils_its_row_and_its_output_alone(wrong: float) -> None:
    weight, states = weight_of(40, 67, torch.float32), states_of(8, 67)
    weight[3, 66] = states[2, 5] = wrong
    found = Avx2Product(avx2_library(), [weight])(states).isfinite()
    is_spoilt = torch.zeros(8, 40, dtype=torch.bool)
    is_spoilt[2], is_spoilt[:, 3] = True, True
    assert torch.equal(found, ~is_spoilt)


def test_arguments_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(WrongArgument, match=r"weights are \[\[33, 64\], \[33, 60\]\]"):
        Avx2Product(avx2_library(), [torch.ones(33, 64), torch.ones(33, 60)])
    with pytest.raises(WrongArgument, match="at most 32768"):
        Avx2Product(avx2_library(), [torch.ones(1, 32769)])
    with pytest.raises(WrongArgument, match="weight is"):
        Avx2Product(avx2_library(), [torch.ones(64, 64, dtype=torch.float64)])
    with pytest.raises(WrongArgument, match=r"bias is \[31\]"):
        Avx2Product(avx2_library(), [torch.ones(64, 64)], torch.ones(31))
    with pytest.raises(WrongArgument, match="states is"):
        Avx2Product(avx2_library(), [torch.ones(64, 64)])(torch.ones(2, 60))

"""Products of codes, beside the same sums in PyTorch."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.native.arguments import WrongArgument
from shards.native.int8_product import Int8Product
from shards.native.rows import Scaled
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import ROUNDED

pytestmark = needs_kernels


def states_of(rows: int, inputs: int, seed: int = 0) -> Scaled:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 256, (rows, inputs), dtype=torch.uint8, generator=generator)
    return Scaled(codes, torch.rand(rows, generator=generator) + 0.01)


def weight_of(outputs: int, inputs: int, form: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-2, 2, outputs)[:, None]  # outputs of very different size
    return (torch.randn(outputs, inputs, generator=generator) * spread).to(form)


def expected(
    states: Scaled, weights: Sequence[torch.Tensor], bias: torch.Tensor | None
) -> torch.Tensor:
    """Return the sums of the same codes, in fp64."""
    exact = torch.cat(list(weights)).double()
    scales = exact.abs().amax(1, keepdim=True).clamp_min(1e-30).float() / 127
    codes = (exact * (1 / scales).double()).float().round().double()
    product = states.exact().double() @ (codes * scales.double()).T
    return product if bias is None else product + bias.double()


@given(
    st.integers(1, 40),
    st.sampled_from([4, 60, 64, 132, 1024]),
    st.sampled_from([(64,), (16, 48), (128,)]),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_product_of_codes(
    rows: int, inputs: int, outputs: tuple[int, ...], form: torch.dtype, biased: bool, seed: int
) -> None:
    states = states_of(rows, inputs, seed)
    weights = [weight_of(count, inputs, form, seed + count) for count in outputs]
    bias = torch.randn(sum(outputs)) if biased else None
    found = Int8Product(library(), weights, bias)(states).double()
    exact = expected(states, weights, bias)
    # numbers half way between two codes may go to either of them
    slack = 2e-3 * exact.abs().amax(0) + 1e-9
    assert ((found - exact).abs() <= ROUNDED[torch.bfloat16] * exact.abs() + slack).all()


def test_a_row_does_not_depend_on_how_many_there_are() -> None:
    """Rows go through in blocks and groups of any size."""
    product = Int8Product(library(), [weight_of(64, 128, torch.bfloat16)])
    states = states_of(600, 128)
    whole = product(states)
    for first, last in ((0, 1), (3, 290), (250, 600), (599, 600)):
        part = Scaled(states.numbers[first:last], states.scales[first:last])
        assert torch.equal(product(part), whole[first:last])


def test_zeros_stay_zero() -> None:
    product = Int8Product(library(), [torch.zeros(64, 64)])
    assert not product(states_of(3, 64)).any()
    of_zeros = Scaled(torch.full((2, 64), 128, dtype=torch.uint8), torch.ones(2))
    assert not Int8Product(library(), [weight_of(64, 64, torch.float32)])(of_zeros).any()


def test_arguments_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(WrongArgument, match=r"weights are \[\[33, 64\]\]"):
        Int8Product(library(), [torch.ones(33, 64)])
    with pytest.raises(WrongArgument, match="weight is"):
        Int8Product(library(), [torch.ones(64, 64, dtype=torch.float64)])
    with pytest.raises(WrongArgument, match="bias is"):
        Int8Product(library(), [torch.ones(64, 64)], torch.ones(31))
    product = Int8Product(library(), [torch.ones(64, 64)])
    with pytest.raises(WrongArgument, match="codes is"):
        product(states_of(2, 60))
    with pytest.raises(WrongArgument, match="scales is"):
        product(Scaled(states_of(2, 64).numbers, torch.ones(3)))

"""Products in bf16, beside the same sums in PyTorch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.native.arguments import WrongArgument
from shards.native.bf16_product import Bf16Product
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import ROUNDED

pytestmark = needs_kernels


def numbers(*shape: int, seed: int = 0, form: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(form)


@given(
    st.integers(1, 40),
    st.sampled_from([4, 60, 64, 132, 1024]),
    st.sampled_from([(64,), (16, 48), (128,)]),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_product(
    rows: int, inputs: int, outputs: tuple[int, ...], biased: bool, seed: int
) -> None:
    states = numbers(rows, inputs, seed=seed)
    weights = [numbers(count, inputs, seed=seed + count) for count in outputs]
    bias = numbers(sum(outputs), form=torch.float32) if biased else None
    found = Bf16Product(library(), weights, bias)(states).double()
    weight = torch.cat(weights).double()
    exact = states.double() @ weight.T
    exact = exact if bias is None else exact + bias.double()
    slack = 1e-5 * (states.double().abs() @ weight.abs().T)  # sums are fp32
    assert ((found - exact).abs() <= ROUNDED[torch.bfloat16] * exact.abs() + slack + 1e-5).all()


def test_a_row_does_not_depend_on_how_many_there_are() -> None:
    """Rows go through in blocks and groups of any size."""
    product = Bf16Product(library(), [numbers(64, 1024)])
    states = numbers(600, 1024)
    whole = product(states)
    for first, last in ((0, 1), (3, 290), (120, 600), (599, 600)):
        assert torch.equal(product(states[first:last]), whole[first:last])


def test_other_formats_are_rounded() -> None:
    """Weights and states are rounded, in any layout."""
    weight, states = numbers(64, 64, form=torch.float32), numbers(64, 5, form=torch.float32).T
    rounded = Bf16Product(library(), [weight.bfloat16()])(states.bfloat16().contiguous())
    assert torch.equal(Bf16Product(library(), [weight])(states), rounded)


@pytest.mark.parametrize("shape", [(65, 64), (64, 6), (64, 1 << 16)])
def test_weights_of_other_sizes_are_rejected(shape: tuple[int, int]) -> None:
    with pytest.raises(WrongArgument, match="multiples of 16 outputs"):
        Bf16Product(library(), [torch.zeros(shape)])


def test_states_of_other_widths_are_rejected() -> None:
    product = Bf16Product(library(), [numbers(64, 64)])
    for states in (numbers(3, 60), numbers(64, 3)):
        with pytest.raises(WrongArgument, match="states"):
            product(states)

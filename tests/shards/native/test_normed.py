"""RMSNorm and LayerNorm by the kernel, beside PyTorch's in fp32."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shards.native.arguments import WrongArgument
from shards.native.normed import Norms
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import drawn, exact, forms, near, near_codes, sizes

pytestmark = needs_kernels
EPS = 1e-6


def rms_of(states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return states * torch.rsqrt(states.square().mean(1, keepdim=True) + EPS) * weight


def plain(rows: object) -> torch.Tensor:
    assert isinstance(rows, torch.Tensor)
    return rows


@given(sizes, forms, forms, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rms(size: tuple[int, int], form: torch.dtype, out: torch.dtype, seed: int) -> None:
    states, weight = plain(drawn(*size, form, seed, scaled=False)), torch.rand(size[1]) + 0.5
    before = states.clone()
    found = exact(Norms(library(), out).rms(states, weight, EPS))
    near(found, rms_of(states.float(), weight), out, 1e-30)
    assert torch.equal(states, before)
    near_codes(
        Norms(library(), torch.uint8).rms(states, weight, EPS), rms_of(exact(states), weight)
    )


@given(sizes, forms, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_addition_is_in_the_states_afterwards(
    size: tuple[int, int], form: torch.dtype, scaled: bool, seed: int
) -> None:
    states = plain(drawn(*size, form, seed, scaled=False))
    added, weight = drawn(*size, form, seed + 1, scaled=scaled), torch.rand(size[1]) + 0.5
    both = exact(states) + exact(added)
    found = exact(Norms(library(), form).rms(states, weight, EPS, added))
    near(states, both, form, 1e-5)
    near(found, rms_of(both, weight), form, 1e-5)


@given(sizes, forms, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_layer(size: tuple[int, int], form: torch.dtype, scaled: bool, seed: int) -> None:
    product = drawn(*size, form, seed, scaled=scaled)
    states = plain(drawn(*size, form, seed + 1, scaled=False))
    weight, bias = torch.rand(size[1]) + 0.5, torch.randn(size[1])
    both = exact(product) + exact(states)
    expected = functional.layer_norm(both, (size[1],), weight, bias, EPS)
    norms = Norms(library(), form)
    found = norms.layer(product, states, weight, bias, EPS)
    near(exact(found), expected, form, 1e-4)  # one number alone is its mean: all is rounding


def test_rows_of_zeros_and_rows_of_one_number() -> None:
    weight, bias = torch.ones(8), torch.zeros(8)
    states = torch.zeros(2, 8)
    states[1] = 3
    norms = Norms(library(), torch.float32)
    assert exact(norms.rms(states, weight, EPS)).tolist() == [[0.0] * 8, [pytest.approx(1)] * 8]
    zeros = torch.zeros(2, 8)
    assert exact(norms.layer(zeros, states, weight, bias, EPS)).tolist() == [[0.0] * 8] * 2
    near_codes(Norms(library(), torch.uint8).rms(zeros, weight, EPS), zeros)


def test_arguments_that_do_not_fit_are_rejected() -> None:
    norms, states = Norms(library(), torch.float32), torch.ones(4, 8)
    with pytest.raises(WrongArgument, match="weight is"):
        norms.rms(states, torch.ones(7), EPS)
    with pytest.raises(WrongArgument, match="weight is"):
        norms.rms(states, torch.ones(8, dtype=torch.bfloat16), EPS)
    with pytest.raises(WrongArgument, match="product is"):
        norms.rms(states, torch.ones(8), EPS, torch.ones(3, 8))
    with pytest.raises(WrongArgument, match="bias is"):
        norms.layer(states, states, torch.ones(8), torch.ones(9), EPS)

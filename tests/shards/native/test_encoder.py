"""An int8 encoder layer by the kernels, beside the same arithmetic in PyTorch."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shards.native.arguments import WrongArgument
from shards.native.encoder import Codes, Finish, Panels, Projection, Rest
from shards.native.normed import Norm
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import forms

pytestmark = needs_kernels
EPS = 1e-6

rows = st.one_of(st.integers(1, 20), st.sampled_from((95, 96, 97, 200)))
fours = st.integers(1, 40).map(lambda count: 4 * count)


def numbers(*shape: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


def codes_of(outputs: int, inputs: int, seed: int, zero: int = 128, step: float = 1.0) -> Codes:
    """Return a matrix with outputs about as large as its inputs, which are in steps of `step`."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(-127, 128, (outputs, inputs), generator=generator, dtype=torch.int8)
    scales = (torch.rand(outputs, generator=generator) + 0.5) * step / (73 * inputs**0.5)
    return Codes(weights, scales, numbers(outputs, seed=seed + 1), zero)


def norm_of(width: int, seed: int) -> Norm:
    return Norm(torch.rand(width) + 0.5, numbers(width, seed=seed), EPS)


def rest_of(width: int, wide: int, seed: int) -> Rest:
    return Rest(
        out=codes_of(width, width, seed, step=0.05),
        first=norm_of(width, seed),
        shares=torch.rand(width) * 20 + 20,
        up=codes_of(wide, width, seed + 2, step=0.05),
        gelu=0.02,
        down=codes_of(width, wide, seed + 4, zero=9, step=0.02),
        second=norm_of(width, seed + 6),
    )


def coded(steps: torch.Tensor, zero: int = 128) -> torch.Tensor:
    return steps.round().add(zero).clamp(0, 255)


def times(codes: torch.Tensor, by: Codes) -> torch.Tensor:
    """Return the exact product: a double holds its integer sums."""
    sums = (codes.double() - by.zero) @ by.weights.double().T
    return sums.float() * by.scales + by.bias


def finished(attended: torch.Tensor, states: torch.Tensor, rest: Rest) -> torch.Tensor:
    """Compute the layer of `Finish` by PyTorch."""

    def normed(sum_: torch.Tensor, norm: Norm) -> torch.Tensor:
        return functional.layer_norm(sum_, norm.weight.shape, norm.weight, norm.bias, norm.eps)

    form = states.dtype
    between = normed(times(coded(attended.float()), rest.out) + states.float(), rest.first)
    grown = functional.gelu(times(coded(between * rest.shares), rest.up))
    product = times(coded(grown / rest.gelu, rest.down.zero), rest.down)
    return normed(product + between.to(form).float(), rest.second)


@given(rows, fours, st.integers(1, 5), st.integers(1, 90), forms, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_projected(
    count: int, inputs: int, heads: int, dim: int, form: torch.dtype, seed: int
) -> None:
    codes = codes_of(heads * dim, inputs, seed)
    states = numbers(count, inputs, seed=seed).to(form)
    shares = torch.full((inputs,), 64.0)  # some are cut off; a product with it is exact
    found = Projection(library(), codes, shares, heads)(states)
    expected = times(coded(states.float() * shares), codes).view(count, heads, dim)
    assert found.dtype == form
    rounding = 1e-5 if form == torch.float32 else 2**-8
    torch.testing.assert_close(found.float(), expected.transpose(0, 1), rtol=rounding, atol=1e-5)
    some = Projection(library(), codes, shares, heads)(states, first_head=heads - 1)
    assert torch.equal(some[-1], found[-1])


@given(rows, fours, fours, forms, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_finished(count: int, width: int, wide: int, form: torch.dtype, seed: int) -> None:
    """Most numbers are equal; a code on the edge between two moves the others of its row a bit."""
    rest = rest_of(width, wide, seed)
    attended = numbers(count, width, seed=seed, spread=60).to(form)
    states = numbers(count, width, seed=seed + 1).to(form)
    expected = finished(attended, states, rest)
    Finish(library(), rest)(attended, states)
    away = (states.float() - expected).abs()
    assert away.max() < 0.3
    assert away.mean() < 0.02


def test_rows_are_independent_of_each_other() -> None:
    rest, count, width = rest_of(64, 128, 1), 200, 64
    attended, states = numbers(count, width, seed=1, spread=60), numbers(count, width, seed=2)
    finish, projection = Finish(library(), rest), Projection(library(), rest.up, rest.shares, 2)
    projected, before = projection(states), states.clone()
    finish(attended, states)
    for row in (0, 5, 6, 99, 199):
        alone = before[row : row + 1].clone()
        assert torch.equal(projection(alone), projected[:, row : row + 1])
        finish(attended[row : row + 1], alone)
        assert torch.equal(alone, states[row : row + 1])


def test_gelu_is_the_exact_one() -> None:
    """The codes of GELU come out of an identity product, and are compared within their step."""
    width = 4
    at = torch.linspace(-6, 6, 241)
    identity = torch.eye(width, dtype=torch.int8)
    step, zero = 6.2 / 255, 7
    still = Norm(torch.zeros(width), torch.zeros(width), EPS)
    for some in torch.split(at, width):
        bias = torch.zeros(width)
        bias[: len(some)] = some
        nothing = Codes(torch.zeros(width, width, dtype=torch.int8), torch.ones(width), bias, 128)
        rest = Rest(
            out=nothing,
            first=still,
            shares=torch.ones(width),
            up=nothing,
            gelu=step,
            down=Codes(identity, torch.full((width,), step), torch.zeros(width), zero),
            second=Norm(torch.ones(width), torch.zeros(width), 1e12),
        )
        states = torch.zeros(1, width)
        Finish(library(), rest)(torch.zeros(1, width), states)
        expected = functional.gelu(bias)
        expected = (expected - expected.mean()) * 1e-6
        assert (states[0] - expected).abs().max() <= 0.52 * 2 * step * 1e-6


def test_a_number_too_large_for_a_code_gets_the_last_one() -> None:
    """Also beyond the range of 32-bit integers."""
    width, identity = 8, torch.eye(8, dtype=torch.int8)
    nothing = torch.zeros(width)
    same = Codes(identity, torch.ones(width), nothing, 128)
    states = torch.tensor([[3e9, -3e9, 1e38, -1e38, 127, -128, 1e4, -1e4]])
    found = Projection(library(), same, torch.ones(width), 1)(states)
    assert found.flatten().tolist() == [127, -128] * 4
    first = Norm(nothing, nothing, EPS)  # so that GELU is that of the bias alone
    bias = torch.tensor([3e9] + 7 * [0.0])
    up, second = (
        Codes(identity, torch.ones(width), bias, 128),
        Norm(torch.ones(width), nothing, EPS),
    )
    rest = replace(rest_of(width, width, 1), first=first, up=up, down=same, second=second)
    Finish(library(), replace(rest, down=replace(same, zero=9)))(torch.zeros(1, width), states)
    assert states[0].argmax() == 0
    torch.testing.assert_close(states[0, 1:], torch.full((7,), -(7**-0.5)))


def test_arguments_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(WrongArgument, match="inputs in fours"):
        Panels(library(), codes_of(8, 6, 1))
    rest = rest_of(8, 16, 1)
    with pytest.raises(WrongArgument, match="do not follow one another"):
        Finish(library(), replace(rest, up=codes_of(16, 12, 1)))
    with pytest.raises(WrongArgument, match="shares is"):
        Projection(library(), rest.up, torch.ones(7), 2)
    with pytest.raises(WrongArgument, match="not those of 3 heads"):
        Projection(library(), rest.up, torch.ones(8), 3)
    with pytest.raises(WrongArgument, match="states is"):
        Projection(library(), rest.up, torch.ones(8), 2)(torch.ones(3, 7))
    with pytest.raises(WrongArgument, match="attended is"):
        Finish(library(), rest)(torch.ones(2, 8), torch.ones(3, 8))

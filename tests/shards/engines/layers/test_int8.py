"""The int8 product: its error, and the independence of its rows."""

from contextlib import nullcontext

import pytest
import torch

from shards.engines.layers.int8 import int8_linear, int8_works, quantised
from shards.engines.layers.linear import as_they_lie, pack
from shards.native.int8_product import Int8Product
from shards.native.library import without_kernels

needs_int8 = pytest.mark.skipif(
    not int8_works(), reason="no int8 kernel of oneDNN for this CPU and this build of PyTorch"
)


def states_of(rows: int, columns: int = 64, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-3, 3, rows)[:, None]  # rows of very different size
    return torch.randn(rows, columns, generator=generator) * spread


def test_codes_are_within_half_a_step_of_the_states() -> None:
    states = states_of(50)
    codes, scales = quantised(states)
    assert (codes.dtype, scales.dtype) == (torch.uint8, torch.bfloat16)
    back = (codes.float() - 128) * scales.float()
    assert ((back - states).abs() <= scales.float() * 0.501).all()
    assert codes.amax(1).maximum(256 - codes.amin(1).int()).ge(254).all()  # the range is used


def test_quantising_leaves_the_states_as_they_were() -> None:
    states = states_of(3)
    before = states.clone()
    quantised(states)
    assert torch.equal(states, before)


def test_a_row_of_zeros_stays_zero() -> None:
    codes, scales = quantised(torch.zeros(2, 8))
    assert codes.eq(128).all()
    assert scales.isfinite().all()


@needs_int8
@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_one_below_the_other_are_one_weight(form: torch.dtype) -> None:
    weights = [states_of(rows, seed=rows).to(form) for rows in (16, 32, 48)]
    states = states_of(9).bfloat16()
    whole = int8_linear([torch.cat(weights)])(states)
    assert torch.equal(int8_linear(weights)(states), whole)
    with without_kernels():
        plain = int8_linear(weights)(states)
    error = (plain - whole).float().norm(dim=1)
    assert (error <= 3e-2 * whole.float().norm(dim=1)).all()


@needs_int8
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_product_is_near_the_exact_one(with_bias: bool, plain: bool) -> None:
    states, weight = states_of(40, 256), states_of(96, 256, seed=1)
    bias = states_of(1, 96, seed=2)[0] if with_bias else None
    exact = torch.nn.functional.linear(states, weight, bias)
    with without_kernels() if plain else nullcontext():
        linear = int8_linear([weight], bias)
        assert not (plain and isinstance(linear, Int8Product))
        error = (linear(states.bfloat16()).float() - exact).norm(dim=1)
    assert (error <= 0.02 * exact.norm(dim=1)).all()


@needs_int8
def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    linear, states = int8_linear([states_of(32)]), states_of(20).bfloat16()
    alone = torch.cat([linear(states[at : at + 1]) for at in range(20)])
    assert torch.equal(linear(states), alone)


@needs_int8
@pytest.mark.parametrize("plain", [False, True])
def test_nan_stays_nan(plain: bool) -> None:
    """A damaged weight spoils its output, a damaged state its row, and nothing else."""
    damaged, whole = states_of(64, seed=1), states_of(64, seed=1)
    damaged[3, 40] = float("nan")
    states = states_of(5).bfloat16()
    with without_kernels() if plain else nullcontext():
        spoilt = int8_linear([damaged])(states).isfinite()
        assert spoilt.all(0).logical_not().nonzero().flatten().tolist() == [3]
        states[2, 7] = float("nan")
        spoilt = int8_linear([whole])(states).isfinite()
    assert not spoilt[2].any()
    assert spoilt.all(1).tolist() == [True, True, False, True, True]


@pytest.mark.parametrize(("dtype", "error"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_packed_weights_give_the_same_product(dtype: str, error: float, with_bias: bool) -> None:
    states, weight = torch.randn(70, 48), torch.randn(33, 48)
    bias = torch.randn(33) if with_bias else None
    linear = pack(weight, bias, dtype, "cpu")
    product = linear(states if dtype == "fp32" else states.bfloat16()).float()
    torch.testing.assert_close(
        product, torch.nn.functional.linear(states, weight, bias), rtol=error, atol=error * 5
    )


@pytest.mark.parametrize(("dtype", "error"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("rows", [(33,), (8, 24, 1)])
def test_weights_where_they_lie_give_the_same_product(
    dtype: str, error: float, rows: tuple[int, ...]
) -> None:
    states, weights = torch.randn(70, 48), [torch.randn(count, 48) for count in rows]
    product = as_they_lie(weights, dtype)(states if dtype == "fp32" else states.bfloat16())
    exact = torch.nn.functional.linear(states, torch.cat(weights))
    torch.testing.assert_close(product.float(), exact, rtol=error, atol=error * 5)

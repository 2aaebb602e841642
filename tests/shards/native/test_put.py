"""Rows added to others, and rows as codes, beside PyTorch's operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.native.arguments import WrongArgument
from shards.native.put import add_by, put_by
from shards.native.rows import Scaled
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
    add_by(library())(states, product)
    torch.testing.assert_close(states.float(), expected, rtol=ROUNDED[form], atol=1e-6)


@given(sizes, forms, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_codes(size: tuple[int, int], form: torch.dtype, scaled: bool, seed: int) -> None:
    rows = drawn(*size, form, seed, scaled=scaled)
    near_codes(put_by(library(), torch.uint8)(rows), exact(rows))


@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16])
def test_another_form(form: torch.dtype) -> None:
    rows = drawn(9, 33, torch.float32, 1, scaled=True)
    found = put_by(library(), form)(rows)
    torch.testing.assert_close(exact(found), exact(rows), rtol=ROUNDED[form], atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("at", [0, 15, 40, 63, 65])
def test_what_is_no_number_is_not_lost_in_codes(bad: float, at: int) -> None:
    """It becomes the scale of its row; other rows stay as they are."""
    rows = drawn(3, 66, torch.float32, 1, scaled=False)
    assert isinstance(rows, torch.Tensor)
    put = put_by(library(), torch.uint8)
    expected = put(rows)
    rows[1, at] = bad
    found = put(rows)
    assert isinstance(found, Scaled)
    assert isinstance(expected, Scaled)
    assert found.scales.isfinite().tolist() == [True, False, True]
    assert not found.exact()[1].isfinite().any()
    assert torch.equal(found.exact()[::2], expected.exact()[::2])


def test_rows_of_a_larger_tensor() -> None:
    """Rows need not follow one another; what is beside them stays."""
    room = torch.zeros(4, 10)
    add_by(library())(room[1:3, 2:5], torch.ones(2, 3))
    assert room.sum() == 6
    assert room[1:3, 2:5].eq(1).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(WrongArgument, match="rows is"):
        add_by(library())(torch.ones(2, 8), torch.ones(2, 7))
    with pytest.raises(WrongArgument, match="states is"):
        add_by(library())(torch.ones(2, 8, dtype=torch.float64), torch.ones(2, 8))

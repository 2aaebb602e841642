"""A product split into values, normed and turned keys and queries, beside PyTorch's operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.engines.elementwise import PLAIN, Native, steps_for, turns
from shards.native.arguments import WrongArgument
from shards.native.library import without_kernels
from shards.native.sizes import MOST_WIDTH
from shards.native.split import Rooms, split_by
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import drawn, exact, forms, near

pytestmark = needs_kernels
EPS = 1e-6


def rooms(form: torch.dtype, *sizes: tuple[int, int, int], rows_first: bool) -> list[torch.Tensor]:
    if rows_first:
        return [
            torch.zeros(rows, groups, width, dtype=form).transpose(0, 1)
            for groups, rows, width in sizes
        ]
    return [torch.zeros(size, dtype=form) for size in sizes]


@given(
    st.integers(1, 30),
    st.integers(1, 40),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.tuples(forms, forms, st.booleans(), st.booleans()),
    st.sampled_from(["all", "last", "queries"]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_it_equals_the_plain_formulas(
    rows: int,
    half: int,
    heads: tuple[int, int],
    forms: tuple[torch.dtype, torch.dtype, bool, bool],
    what: str,
    seed: int,
) -> None:
    (groups, share), dim = heads, 2 * half
    form, out, rows_first, scaled = forms
    sizes = [(groups, rows, dim), (groups, rows, dim), (groups, rows, share * dim)]
    has = {"all": (1, 1, 1), "last": (1, 1, 0), "queries": (0, 0, 1)}[what]
    count = sum(size[0] * size[2] // dim for size, one in zip(sizes, has, strict=True) if one)
    product = drawn(rows, count * dim, form, seed, scaled=scaled)
    norms = torch.rand(count - has[0] * groups, dim) + 0.5
    turned = turns(torch.arange(rows) + seed, torch.rand(half))
    found, expected = (
        [room if one else None for room, one in zip(made, has, strict=True)]
        for made in (
            rooms(out, *sizes, rows_first=rows_first),
            rooms(torch.float32, *sizes, rows_first=False),
        )
    )
    split_by(library())(product, norms, turned, EPS, Rooms(*found))
    PLAIN.split(exact(product), norms, turned, EPS, Rooms(*expected))
    for ours, right in zip(found, expected, strict=True):
        if ours is not None and right is not None:
            near(ours, right, out, 1e-5)


def test_what_does_not_fit_is_refused() -> None:
    split = split_by(library())
    (values,) = rooms(torch.float32, (2, 3, 8), rows_first=False)
    norms, turned = torch.ones(2, 8), turns(torch.arange(3), torch.ones(4))

    def refused(match: str, product: torch.Tensor, *rest: torch.Tensor | None) -> None:
        with pytest.raises(WrongArgument, match=match):
            split(product, norms, turned, EPS, Rooms(*rest))

    refused("does not fill", torch.ones(3, 33), values, values, None)
    refused("does not fill", torch.ones(3, 48), values, values, values)
    refused("keys is", torch.ones(3, 32), values, values[:, :2], None)
    refused(
        "values is",
        torch.ones(3, 32),
        values.transpose(1, 2).contiguous().transpose(1, 2),
        values,
        None,
    )
    refused("product is", torch.ones(3, 32).half(), values, values, None)
    turned = turned[:2]
    refused("turns is", torch.ones(3, 32), values, values, None)


def test_the_steps_are_the_fastest_that_can_be_used() -> None:
    for dtype in ("fp32", "bf16", "int8"):
        assert isinstance(steps_for("cpu", dtype, 64, 128), Native)
        with without_kernels():
            assert not isinstance(steps_for("cpu", dtype, 64, 128), Native)
    assert not isinstance(steps_for("mps", "fp32", 64, 128), Native)
    assert not isinstance(steps_for("cpu", "fp32", 64, MOST_WIDTH + 1), Native)

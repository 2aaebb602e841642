"""A product split into values, rotated keys and queries, beside PyTorch's operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.engines.layers.elementwise import PLAIN, Native, rotations, steps_for
from shards.native.arguments import MOST_WIDTH, WrongArgument
from shards.native.library import without_kernels
from shards.native.split import QkvBuffers, qkv_splitter
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import drawn, exact, forms, near

pytestmark = needs_kernels
EPS = 1e-6


def buffers(
    form: torch.dtype, *sizes: tuple[int, int, int], rows_first: bool
) -> list[torch.Tensor]:
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
    count = sum(
        size[0] * size[2] // dim for size, is_there in zip(sizes, has, strict=True) if is_there
    )
    product = drawn(rows, count * dim, form, seed, scaled=scaled)
    norms = torch.rand(count - has[0] * groups, dim) + 0.5
    turned = rotations(torch.arange(rows) + seed, torch.rand(half))
    found, expected = (
        [buffer if is_there else None for buffer, is_there in zip(made, has, strict=True)]
        for made in (
            buffers(out, *sizes, rows_first=rows_first),
            buffers(torch.float32, *sizes, rows_first=False),
        )
    )
    qkv_splitter(library())(product, norms, turned, EPS, QkvBuffers(*found))
    PLAIN.split(exact(product), norms, turned, EPS, QkvBuffers(*expected))
    for ours, right in zip(found, expected, strict=True):
        if ours is not None and right is not None:
            near(ours, right, out, 1e-5)


def test_arguments_that_do_not_fit_are_rejected() -> None:
    split = qkv_splitter(library())
    (values,) = buffers(torch.float32, (2, 3, 8), rows_first=False)
    norms, turned = torch.ones(2, 8), rotations(torch.arange(3), torch.ones(4))

    def rejected(match: str, product: torch.Tensor, *rest: torch.Tensor | None) -> None:
        with pytest.raises(WrongArgument, match=match):
            split(product, norms, turned, EPS, QkvBuffers(*rest))

    rejected("does not fill", torch.ones(3, 33), values, values, None)
    rejected("does not fill", torch.ones(3, 48), values, values, values)
    rejected("keys is", torch.ones(3, 32), values, values[:, :2], None)
    rejected(
        "values is",
        torch.ones(3, 32),
        values.transpose(1, 2).contiguous().transpose(1, 2),
        values,
        None,
    )
    rejected("product is", torch.ones(3, 32).half(), values, values, None)
    turned = turned[:2]
    rejected("turns is", torch.ones(3, 32), values, values, None)


def test_the_steps_are_the_fastest_that_can_be_used() -> None:
    for dtype in ("fp32", "bf16", "int8"):
        assert isinstance(steps_for("cpu", dtype, 64, 128), Native)
        with without_kernels():
            assert not isinstance(steps_for("cpu", dtype, 64, 128), Native)
    assert not isinstance(steps_for("mps", "fp32", 64, 128), Native)
    assert not isinstance(steps_for("cpu", "fp32", 64, MOST_WIDTH + 1), Native)

"""Random rows, and comparisons for kernels that go through rows."""

import torch
from hypothesis import strategies as st

from shards.native.rows import Rows, Scaled

FORMS = (torch.float32, torch.bfloat16)
ROUNDED = {torch.float32: 2e-6, torch.bfloat16: 1.01 * 2**-8}
"""The largest relative distance from the exact number after one rounding, by format."""

sizes = st.tuples(st.integers(1, 40), st.integers(1, 200))
forms = st.sampled_from(FORMS)


def exact(rows: Rows) -> torch.Tensor:
    return rows.exact() if isinstance(rows, Scaled) else rows.float()


def drawn(rows: int, width: int, form: torch.dtype, seed: int, *, scaled: bool) -> Rows:
    """Return random rows of very different size, scaled or not."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(rows, width, generator=generator)
    numbers *= torch.logspace(-2, 2, rows)[:, None]
    scales = torch.rand(rows, generator=generator) + 0.01
    return Scaled(numbers.to(form), scales) if scaled else numbers.to(form)


def near_codes(found: Rows, expected: torch.Tensor) -> None:
    """Assert that codes lie within half a step of the numbers, and the largest has the last."""
    assert isinstance(found, Scaled)
    assert found.numbers.dtype == torch.uint8
    steps = expected.abs().amax(1) / 127
    torch.testing.assert_close(found.scales, steps, rtol=1e-4, atol=1e-29)
    assert ((found.exact() - expected).abs() <= 0.502 * found.scales[:, None] + 1e-30).all()


def near(found: torch.Tensor, expected: torch.Tensor, form: torch.dtype, atol: float) -> None:
    """Assert that numbers of a format are the exact ones, rounded once."""
    torch.testing.assert_close(found.float(), expected, rtol=ROUNDED[form], atol=atol)

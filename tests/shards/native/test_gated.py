"""The gate of a feed-forward block, beside PyTorch's in fp32."""

import pytest
import torch
from torch.nn import functional

from shards.native.arguments import WrongArgument
from shards.native.rows import Rows, Scaled
from tests.shards.native.here import library, needs_kernels
from tests.shards.native.steps import exact, near_codes

pytestmark = needs_kernels


def gated(product: Rows, form: torch.dtype = torch.bfloat16) -> Rows:
    from shards.native.gated import gated_by

    return gated_by(library(), form)(product)


def expected(product: Rows) -> torch.Tensor:
    gate, up = exact(product).chunk(2, dim=1)
    return functional.silu(gate) * up


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (1, 15), (3, 16), (17, 33), (200, 96), (0, 8)])
@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16])
def test_it_is_rounded_once(rows: int, width: int, form: torch.dtype) -> None:
    torch.manual_seed(rows)
    product = (torch.randn(rows, 2 * width) * 4).to(form)
    before = product.clone()
    tolerance = 2**-8 if form == torch.bfloat16 else 2e-6
    torch.testing.assert_close(
        exact(gated(product, form)), expected(product), rtol=tolerance, atol=1e-30
    )
    assert torch.equal(product, before)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (5, 31), (70, 256)])
def test_scales_are_applied_and_codes_made(rows: int, width: int) -> None:
    torch.manual_seed(rows)
    product = Scaled(torch.randn(rows, 2 * width).to(torch.bfloat16), torch.rand(rows) * 4)
    near_codes(gated(product, torch.uint8), expected(product))


def test_extreme_gates() -> None:
    gates = torch.tensor([-3e38, -1e4, -200.0, -90.0, -0.0, 90.0, 200.0, 3e38, float("nan")])
    product = torch.stack([gates, torch.ones(9)], dim=1).to(torch.bfloat16)
    found = exact(gated(product))
    right = expected(product)
    right[right.abs() < 1e-37] = 0  # what fp32 keeps below its normal range is lost
    torch.testing.assert_close(found, right, rtol=2**-8, atol=1e-37, equal_nan=True)


def test_another_format_or_layout_is_refused() -> None:
    product = torch.ones(4, 8)
    with pytest.raises(WrongArgument, match="product is torch"):
        gated(product.half())
    with pytest.raises(WrongArgument, match="in one piece"):
        gated(product.t().contiguous().t())
    with pytest.raises(WrongArgument):
        gated(product[:, :7])
    with pytest.raises(WrongArgument, match="32769 numbers: the kernel writes 1 to 32768"):
        gated(torch.ones(1, 2 * 32769))
    with pytest.raises(WrongArgument, match="scales of product"):
        gated(Scaled(product, torch.ones(3)))

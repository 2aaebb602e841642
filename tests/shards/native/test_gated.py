"""The gate of a feed-forward block, beside PyTorch's in fp32."""

import pytest
import torch
from torch.nn import functional

from shards.engines.elementwise import IN_PLACE, steps_for
from shards.native.arguments import WrongArgument
from shards.native.gated import gated_by
from shards.native.library import kernels
from tests.shards.native.here import needs_kernels

pytestmark = needs_kernels


def exact(product: torch.Tensor) -> torch.Tensor:
    gate, up = product.float().chunk(2, dim=1)
    return functional.silu(gate) * up


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (1, 15), (3, 16), (17, 33), (200, 96), (0, 8)])
def test_it_is_rounded_once(rows: int, width: int) -> None:
    torch.manual_seed(rows)
    product = (torch.randn(rows, 2 * width) * 4).to(torch.bfloat16)
    before = product.clone()
    gated = steps_for("cpu", torch.bfloat16).gated(product)
    torch.testing.assert_close(gated.float(), exact(product), rtol=2**-8, atol=1e-30)
    assert torch.equal(product, before)


def test_extreme_gates() -> None:
    gates = torch.tensor([-3e38, -1e4, -200.0, -90.0, -0.0, 90.0, 200.0, 3e38, float("nan")])
    product = torch.stack([gates, torch.ones(9)], dim=1).to(torch.bfloat16)
    found = steps_for("cpu", torch.bfloat16).gated(product).float()
    expected = exact(product)
    expected[expected.abs() < 1e-37] = 0  # what fp32 keeps below its normal range is lost
    torch.testing.assert_close(found, expected, rtol=2**-8, atol=1e-37, equal_nan=True)


def test_another_format_or_layout_is_refused() -> None:
    library = kernels()
    assert library is not None
    gated = gated_by(library)
    product = torch.ones(4, 8)
    with pytest.raises(WrongArgument, match="product is torch"):
        gated(product)
    with pytest.raises(WrongArgument, match="contiguous"):
        gated(product.to(torch.bfloat16).t())
    with pytest.raises(WrongArgument):
        gated(product.to(torch.bfloat16)[:, :7])


def test_without_bf16_pytorch_does_it() -> None:
    assert steps_for("cpu", torch.float32) is IN_PLACE

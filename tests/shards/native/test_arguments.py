"""The rules for sizes agree with the kernels themselves."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

from shards.native.arguments import (
    MOST_ELEMENTS,
    MOST_WIDTH,
    WrongArgument,
    takes_encoder_weights,
    takes_heads,
    takes_rows,
    takes_weights,
)
from shards.native.attention import SegmentAttention
from shards.native.bf16_product import Bf16Product
from shards.native.encoder import Codes, Panels
from shards.native.int8_product import Int8Product
from shards.native.normed import Norms
from shards.native.rows import row_converter, row_gate
from tests.shards.native.here import library, needs_kernels

pytestmark = needs_kernels


def expect(taken: bool, call: Callable[[], object]) -> None:
    with nullcontext() if taken else pytest.raises(WrongArgument):
        call()


@pytest.mark.parametrize("width", [1, 17408, MOST_WIDTH, MOST_WIDTH + 1])
@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16, torch.uint8])
def test_rows(width: int, form: torch.dtype) -> None:
    """The limit is on written rows: the product before a gate has twice as many columns."""
    taken = takes_rows(width)
    assert taken == (width <= MOST_WIDTH)
    states, weight = torch.ones(2, width), torch.ones(width)
    expect(taken, lambda: row_converter(library(), form)(states))
    expect(taken, lambda: row_gate(library(), form)(torch.ones(2, 2 * width)))
    norms = Norms(library(), form)
    expect(taken, lambda: norms.rms(states, weight, 1e-6))
    if form != torch.uint8:
        expect(taken, lambda: norms.layer(states, states, weight, weight, 1e-6))


@pytest.mark.parametrize("dim", [1, 2, 7, 80, MOST_ELEMENTS, MOST_ELEMENTS + 2])
def test_heads(dim: int) -> None:
    assert takes_heads(dim) == (dim in (2, 80, MOST_ELEMENTS))
    attend = SegmentAttention(library(), [((0, 2), [(0, 2)])], causal=False)
    states = torch.zeros(1, 2, dim, dtype=torch.bfloat16)
    expect(takes_heads(dim), lambda: attend(states, states, states, states.clone()))


@pytest.mark.parametrize(
    ("shapes", "taken"),
    [
        ([(64, 4)], True),
        ([(16, 60), (48, 60)], True),
        ([(64, MOST_WIDTH)], True),
        ([(64, MOST_WIDTH + 4)], False),
        ([(64, 62)], False),
        ([(33, 64)], False),
        ([(56, 64), (8, 64)], False),
        ([(48, 64)], False),
    ],
    ids=str,
)
def test_weights(shapes: list[tuple[int, int]], taken: bool) -> None:
    assert takes_weights(shapes) == taken
    weights = [torch.ones(shape) for shape in shapes]
    expect(taken, lambda: Int8Product(library(), weights))
    expect(taken, lambda: Bf16Product(library(), weights))


@pytest.mark.parametrize(
    ("outputs", "inputs", "taken"),
    [
        (1, 4, True),
        (7, MOST_WIDTH, True),
        (MOST_WIDTH, 4, True),
        (MOST_WIDTH + 1, 4, False),
        (4, MOST_WIDTH + 4, False),
        (8, 6, False),
    ],
)
def test_weights_of_an_encoder(outputs: int, inputs: int, taken: bool) -> None:
    assert takes_encoder_weights(outputs, inputs) == taken
    weights = torch.zeros(outputs, inputs, dtype=torch.int8)
    codes = Codes(weights, torch.ones(outputs), torch.ones(outputs), 128)
    expect(taken, lambda: Panels(library(), codes))

"""Which sizes kernels take: the rules in one place. Pure.

Engines ask before they make a kernel, and use PyTorch's operations where the answer is no, so that a model
of odd sizes is served, if slower. Kernels themselves refuse what nobody asked about (`WrongArgument`).
"""

from collections.abc import Iterable, Sequence

MOST_WIDTH = 1 << 15
"""Numbers of a row that a kernel writes: it lies in fp32 on the stack of a thread before. Also the most
inputs and outputs of weights in int8, whose sums would leave 32 bits at twice as many."""

MOST_ELEMENTS = 256
"""Of a head in attention: what a thread needs for a tile is on its stack."""

OUTPUTS = 64
"""Of a panel of weights."""

FOUR = 4
"""Inputs that an instruction adds up, at most."""

LAID_ROWS = 16
"""Rows of weights that are laid out together."""


def takes_rows(*widths: int) -> bool:
    """Whether kernels write rows of so many numbers."""
    return min(widths) > 0 and max(widths) <= MOST_WIDTH


def takes_heads(dim: int) -> bool:
    """Whether attention takes heads of so many elements."""
    return dim % 2 == 0 and 0 < dim <= MOST_ELEMENTS


def takes_weights(shapes: Iterable[Sequence[int]]) -> bool:
    """Whether products take weights `[outputs, inputs]` that lie one below the other."""
    outputs, inputs = zip(*shapes, strict=True)
    fits = all(count % LAID_ROWS == 0 for count in outputs) and sum(outputs) % OUTPUTS == 0
    return fits and inputs[0] % FOUR == 0 and takes_rows(inputs[0])


def takes_encoder_weights(outputs: int, inputs: int) -> bool:
    """Whether the layer of an encoder takes weights `[outputs, inputs]`, which it fills up itself."""
    return inputs % FOUR == 0 and takes_rows(inputs, outputs)

"""Which forward pass an engine gets that is loaded to be measured: its own, or one of transformers' modules."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from shards.engines import bodies, decoders
from shards.engines.plain import NotPlain

THROUGH = ("", "flat", "padded")
"""As it would be served; by transformers' modules over flat rows; by these, padded."""


@contextmanager
def passing(through: str) -> Iterator[None]:
    """Have decoders that are loaded meanwhile computed in one of the ways of `THROUGH`."""
    with ExitStack() as changed:
        if through:
            changed.enter_context(patch.object(bodies, "shape_of", lambda config: None))
        if through == "padded":
            asked = NotPlain("as was asked for")
            changed.enter_context(patch.object(decoders, "attending_flat", side_effect=asked))
        yield

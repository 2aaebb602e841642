"""The forward pass of an engine under measurement: its own, or one of transformers' modules."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from shards.engines.decoder import body as bodies
from shards.engines.decoder import generic as decoders
from shards.engines.decoder.packing_probe import NotPlain

THROUGH = ("flat", "padded", "plain")
"""Of transformers' modules: over flat rows; padded, with linears laid out; padded, as they are."""


@contextmanager
def passing(through: str) -> Iterator[None]:
    """Have decoders that are loaded meanwhile computed in one of the ways of `THROUGH`.

    An empty string stands for the way in which they would be served.
    """
    with ExitStack() as changed:
        if through:
            changed.enter_context(patch.object(bodies, "shape_of", lambda config: None))
            changed.enter_context(patch.object(bodies, "can_be_read_alone", return_value=False))
        if through in ("padded", "plain"):
            asked = NotPlain("as was asked for")
            changed.enter_context(patch.object(decoders, "attending_flat", side_effect=asked))
        if through == "plain":
            changed.enter_context(patch.object(decoders, "pack_linears"))
        yield

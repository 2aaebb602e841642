"""What tests of scripts share."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def same_environment() -> Iterator[None]:
    """The bench prepares its own process, which here is that of the tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)

"""Fixtures for the tests of scripts."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def same_environment() -> Iterator[None]:
    """Restore the environment: the bench prepares its own process, here that of the tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)

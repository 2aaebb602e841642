"""A shard in this process, and the gateway's end of its pipe."""

from collections.abc import Iterator

import pytest

from shards.native.library import limited_to
from tests.shards.in_process import Client, FaultyEngine, running
from tests.shards.native.here import narrow_tiers, wide_tiers


@pytest.fixture
def engine() -> FaultyEngine:
    return FaultyEngine()


@pytest.fixture
def client(engine: FaultyEngine) -> Iterator[Client]:
    with running(engine) as client:
        yield client


@pytest.fixture(params=wide_tiers)
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Limit the kernels to one tier after the other."""
    with limited_to(request.param):
        yield request.param


@pytest.fixture(params=narrow_tiers)
def narrow_tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Limit the kernels to one tier without AVX-512 after the other."""
    with limited_to(request.param):
        yield request.param

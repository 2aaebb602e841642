"""A shard in this process, and the gateway's end of its pipe."""

from collections.abc import Iterator

import pytest

from tests.shards.in_process import Client, FaultyEngine, running


@pytest.fixture
def engine() -> FaultyEngine:
    return FaultyEngine()


@pytest.fixture
def client(engine: FaultyEngine) -> Iterator[Client]:
    with running(engine) as client:
        yield client

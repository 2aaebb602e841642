"""A shard with moods, and the gateway's end of its pipe."""

from collections.abc import Iterator

import pytest

from tests.shards.moody import Client, MoodyEngine, running


@pytest.fixture
def engine() -> MoodyEngine:
    return MoodyEngine()


@pytest.fixture
def client(engine: MoodyEngine) -> Iterator[Client]:
    with running(engine) as client:
        yield client

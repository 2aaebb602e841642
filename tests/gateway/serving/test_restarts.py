"""Starts of a real shard that fail for lack of memory: repeated, and not for ever."""

import asyncio

from gateway.config import ModelSpec
from gateway.scheduling.policy import FleetPolicy
from gateway.serving.fleet import Fleet
from gateway.supervision.lifecycle import RestartPolicy
from gateway.telemetry.metrics import Metrics
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec


async def _until_given_up(exit_code: ExitCode, crash_limit: int) -> tuple[int, str]:
    """Start a shard that refuses with this code; return the number of starts, and its error."""
    policy = FleetPolicy(
        restart=RestartPolicy(first_seconds=0.01, longest_seconds=0.02, crash_limit=crash_limit)
    )
    source = f"fake?refuse={int(exit_code)}"
    shard = ShardSpec(name="a/cpu:0", model="a", source=source, engine="fake")
    model = ModelSpec(name="a", aliases=(), default=True, source=source, shards=(shard,))
    fleet = Fleet([model], policy, Metrics())
    await fleet.start()
    try:
        async with asyncio.timeout(120):
            while fleet.status()[0].shards[0].state != "failed":
                await asyncio.sleep(0.01)
        found = fleet.status()[0].shards[0]
        return found.generation, found.last_error
    finally:
        await fleet.stop()


async def test_a_device_without_room_yet_is_tried_again() -> None:
    """Its memory may not be free at once when the previous shard was killed."""
    generation, error = await _until_given_up(ExitCode.TEMPORARY, crash_limit=2)
    assert generation == 3
    assert error == "refused, as its source asks"


async def test_a_spec_that_cannot_work_is_not_tried_again() -> None:
    generation, _ = await _until_given_up(ExitCode.SPEC, crash_limit=2)
    assert generation == 1

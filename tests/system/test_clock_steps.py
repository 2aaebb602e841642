"""The time of day jumps by days: deadlines, time limits and rates stay, and expiry follows it.

libfaketime moves the time of day of the gateway and its shards while they run; CLOCK_MONOTONIC
stays as it is, as on a machine whose clock is set.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.gateway.http.keys.making import bearer, write_keys
from tests.system.operator import model
from tests.system.running import Gateway, running

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
_CONFIG = (
    'score_cache_mb = 0\nkeys_file = "keys.toml"\n'
    + model("m", "delay_ms=20")
    + model("slow", "delay_ms=2500")
)


@pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime: see scripts/system-packages")
@pytest.mark.timeout(400)
async def test_a_step_of_the_clock_moves_no_deadline(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    secrets = write_keys(
        tmp_path / "keys.toml", operator={"admin": True}, user={}, brief={"expires": soon}
    )
    # The preloaded library reads the file at each call, which the cache would put off by seconds.
    environment = {
        "LD_PRELOAD": str(_LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    _step(offset, 0)
    async with running(_CONFIG, tmp_path, site="moved_clock", environment=environment) as gateway:
        gateway.session.headers.update(bearer(secrets["operator"]))
        await gateway.until_ready()
        assert await _code(gateway, secrets["brief"]) == 200
        for days in (2, -2, 400, 0):
            asked = asyncio.create_task(gateway.rerank(["a"], timeout_seconds=60, model="slow"))
            await gateway.until(lambda shards: shards["slow/cpu:0"]["queue"] > 0)
            _step(offset, days)
            status, body, _ = await asked
            assert status == 200, body
            shown = datetime.fromtimestamp(body["created"], UTC) - datetime.now(UTC)
            assert abs(shown - timedelta(days=days)) < timedelta(hours=1)  # the clock has moved
            assert await _code(gateway, secrets["brief"]) == (401 if days > 0 else 200)
            assert await _code(gateway, secrets["user"]) == 200
            status, _, _ = await gateway.rerank(["a"], timeout_seconds=0.2, model="slow")
            assert status == 504
        for shard in (await gateway.shards()).values():
            assert (shard["restarts"], shard["state"], shard["last_error"]) == (0, "ready", "")
        gateway.process.terminate()
        assert await gateway.wait() == 0


def _step(file: Path, days: int) -> None:
    """Set the clock of the gateway to so many days from now."""
    file.with_suffix(".new").write_text(f"{days:+d}d\n")
    file.with_suffix(".new").replace(file)


async def _code(gateway: Gateway, secret: str) -> int:
    body = {"query": "q", "documents": ["a"], "model": "m"}
    async with gateway.session.post(
        gateway.url + "/v1/rerank", json=body, headers=bearer(secret)
    ) as reply:
        await reply.read()
        return reply.status

"""Models that are drained, removed or started anew in a real gateway finish their jobs."""

import asyncio
from pathlib import Path

from tests.system.operator import (
    BASE,
    OTHER,
    command,
    model,
    pids,
    post,
    reload,
    reload_status,
    until,
    until_settled,
    write,
)
from tests.system.running import Ledger, running

_SLOWLY = "delay_ms=700"
_ONE_BY_ONE = {"token_budget": "1"}  # ten requests of one document take seven seconds


async def test_a_removed_model_finishes_its_jobs(tmp_path: Path) -> None:
    config = 'default_model = "fake"\n' + BASE + OTHER + model("fake", _SLOWLY, **_ONE_BY_ONE)
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway, documents=1, model="fake")
        requests = [asyncio.create_task(ledger.send(request)) for request in range(10)]
        await gateway.until_accepted(ledger, 10)
        write(tmp_path, BASE + OTHER)
        assert "attempt" in await post(gateway, "/admin/reload?remove=true")
        found = await until(gateway, lambda found: bool(found["leaving"]))
        assert found["leaving"][0]["state"] == "draining"
        status, body, _ = await gateway.rerank(["a"], model="fake")
        assert (status, body["error"]["code"]) == (404, "model_not_found")
        status, body, _ = await gateway.rerank(["a"])
        assert (status, body["model"]) == (200, "other")
        await asyncio.gather(*requests)
        ledger.assert_all_right()
        await until_settled(gateway)
        assert set(await gateway.shards()) == {"other/cpu:0"}


async def test_one_model_is_started_anew_under_load(tmp_path: Path) -> None:
    config = BASE + model("fake", replicas="2") + OTHER
    async with running(config, tmp_path) as gateway:
        before = pids(await gateway.until_ready())
        ledger = Ledger(gateway, model="fake")
        write(tmp_path, "this is not read")
        async with ledger.load(clients=8):
            await ledger.until_answered(50)
            code, output = await command(gateway, "reload", "fake")
            assert (code, "changed fake" in output) == (0, True), output
            await ledger.until_answered(ledger.codes.total() + 50)
        ledger.assert_all_right()
        after = pids(await gateway.shards())
        assert after["other/cpu:0"] == before["other/cpu:0"]
        assert not {after[f"fake/cpu:0{suffix}"] for suffix in ("", "#1")} & set(before.values())


async def test_a_failed_model_comes_back_by_a_reload_of_its_own(tmp_path: Path) -> None:
    config = BASE + model("fake") + model("broken", "refuse=66")
    async with running(config, tmp_path) as gateway:
        await gateway.until(lambda shards: shards["broken/cpu:0"]["state"] == "failed")
        code, output = await reload(gateway, tmp_path, config)
        assert code == 0
        assert "`gateway reload broken` starts it anew" in output
        code, output = await command(gateway, "reload", "broken")
        assert (code, "refused, as its source asks" in output) == (1, True)
        code, output = await reload(gateway, tmp_path, BASE + model("fake") + model("broken"))
        assert code == 0, output
        await gateway.until_ready()


async def test_a_drained_model_finishes_and_comes_back(tmp_path: Path) -> None:
    config = BASE + model("fake", _SLOWLY, aliases='["name"]', **_ONE_BY_ONE) + OTHER
    async with running(config, tmp_path) as gateway:
        await gateway.until_ready()
        ledger = Ledger(gateway, documents=1)
        requests = [asyncio.create_task(ledger.send(request)) for request in range(10)]
        await gateway.until_accepted(ledger, 10)
        found = await post(gateway, "/admin/drain?model=name")
        assert found == {"model": "fake", "state": "draining"}
        status, body, headers = await gateway.rerank(["a"], model="name")
        assert (status, body["error"]["code"]) == (503, "model_drained")
        assert int(headers["Retry-After"]) >= 1
        await asyncio.gather(*requests)
        ledger.assert_all_right()
        code, output = await command(gateway, "drain", "name")
        assert (code, "fake is drained" in output) == (0, True)
        assert (await gateway.shards())["fake/cpu:0"]["pid"] is None
        assert (await gateway.get("/readyz?model=fake"))[0] == 503
        assert (await gateway.get("/readyz"))[0] == 200
        assert (await gateway.rerank(["a"], model="other"))[0] == 200
        assert (await command(gateway, "reload"))[0] == 0
        assert (await gateway.rerank(["a"]))[0] == 503  # it did not change
        assert (await command(gateway, "reload", "fake"))[0] == 0
        assert (await gateway.rerank(["a"]))[0] == 200


async def test_the_admin_endpoints_reject_every_origin_without_a_key(tmp_path: Path) -> None:
    async with running(BASE + model("fake"), tmp_path) as gateway:
        await gateway.until_ready()
        strangers: list[tuple[dict[str, str], int]] = [
            ({"Host": "rerank.example"}, 400),  # the gateway serves nothing under this host
            ({"Origin": "http://x"}, 403),
            ({"Via": "1.1 proxy"}, 403),
            ({}, 403),
        ]
        for headers, status in strangers:
            for path in ("/admin/reload", "/admin/drain?model=fake"):
                async with gateway.session.post(gateway.url + path, headers=headers) as reply:
                    assert reply.status == status
        assert (await reload_status(gateway))["attempts"] == 0
        code, output = await command(gateway, "reload", "nope")
        assert (code, "'nope' is not served here; use one of: fake" in output) == (1, True)
        code, output = await command(gateway, "drain", "nope")
        assert (code, "'nope' is not served here; use one of: fake" in output) == (1, True)


async def test_a_model_that_is_drained_during_a_reload_stays_drained(tmp_path: Path) -> None:
    """The reload was asked for before, so it does not bring the model back; a later one does."""
    async with running(BASE + model("fake") + OTHER, tmp_path) as gateway:
        await gateway.until_ready()
        write(tmp_path, BASE + model("fake", "delay_ms=3&load_ms=5000") + OTHER)
        await post(gateway, "/admin/reload")
        await until(gateway, lambda found: bool(found["coming"]))
        assert (await post(gateway, "/admin/drain?model=fake"))["model"] == "fake"
        found = await until_settled(gateway)
        assert found["last"]["ok"], found
        status, body, _ = await gateway.rerank(["a"], model="fake")
        assert (status, body["error"]["code"]) == (503, "model_drained")
        code, output = await command(gateway, "reload", "fake")
        assert code == 0, output
        assert (await gateway.rerank(["a"], model="fake"))[0] == 200

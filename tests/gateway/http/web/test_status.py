"""The status on the page: its content, and its message when the gateway does not answer."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gateway.cli.conftest import Serving
from tests.gateway.http.web.conftest import Visit, needs_chromium, rerank, visiting

FAKES = ("--engine", "fake", "--device", "cpu:0", "--model", "demo=fake")


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield a gateway with one model that works and one that refuses to start."""
    needs_chromium()
    log = tmp_path_factory.mktemp("partly") / "log"
    with Serving("--port", "0", *FAKES, "--model", "broken=fake?refuse=66", log=log) as serving:
        yield serving


@pytest.fixture
def visit(partly: Serving, browser: Browser) -> Iterator[Visit]:
    yield from visiting(browser, partly.url)


def test_models_and_shards_are_shown_with_their_states_and_errors(visit: Visit) -> None:
    page = visit.open("status")
    shards = page.get_by_role("table", name="Shards of demo").get_by_role("row")
    expect(shards.nth(1).get_by_role("rowheader")).to_have_text("demo/cpu:0")  # it is shown
    head = shards.nth(0).get_by_role("columnheader").all_inner_texts()
    row = dict(zip(head[1:], shards.nth(1).get_by_role("cell").all_inner_texts(), strict=True))
    assert {name: row[name] for name in ("state", "device", "dtype", "queue", "restarts")} == {
        "state": "ready",
        "device": "cpu",
        "dtype": "fp32",
        "queue": "0",
        "restarts": "0",
    }
    assert row["memory"].endswith("MiB")
    broken = page.get_by_role("region", name="broken")
    expect(broken.get_by_role("heading")).to_have_text("broken")
    expect(broken.get_by_role("cell").first).to_have_text("failed")
    expect(broken.locator(".reason")).to_have_text("refused, as its source asks")
    expect(page.get_by_role("button", name="Unload")).to_have_count(0)  # no key of an operator
    troubles = page.get_by_role("region", name="Errors, warnings and notes")
    expect(troubles.get_by_role("listitem")).to_contain_text(["broken/cpu:0: "])
    expect(page.locator("#health")).to_have_text("degraded")


def test_the_score_cache_and_its_stores_are_shown(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("the file of another program")
    config = tmp_path / "gateway.toml"
    config.write_text(
        "port = 0\nscore_cache_path = 'other'\n[models.m]\nsource = 'fake'\nengine = 'fake'\n"
    )
    with Serving("--config", str(config), log=tmp_path / "log") as serving:
        for visit in visiting(browser, serving.url):
            rerank(serving.url, model="m", query="q", documents=["one", "one"])
            page = visit.open("status")
            card = page.get_by_role("region", name="Score cache")
            expect(card).to_contain_text("1 scores · 0 MiB of 64 MiB · kept 1 h")
            rows = card.get_by_role("table", name="Documents by source of their score")
            expect(rows.locator("td[data-label='hit rate']")).to_have_text("50.0 %")
            store = card.get_by_role("table", name="Stores of scores").get_by_role("row").nth(1)
            expect(store.get_by_role("rowheader")).to_have_text("disk")
            expect(store.get_by_role("cell").first).to_have_text("degraded")
            troubles = page.get_by_role("region", name="Errors, warnings and notes")
            expect(troubles).to_contain_text("the disk store of scores: it is not a file of scores")


def test_a_restarted_shard_is_shown(visit: Visit) -> None:
    page = visit.open("status")
    row = page.get_by_role("table", name="Shards of demo").get_by_role("row").nth(1)
    os.kill(int(row.get_by_role("cell").last.inner_text()), signal.SIGKILL)
    restarts = row.locator("td[data-label=restarts]")
    expect(restarts).to_have_text("1", timeout=90_000)
    expect(row.get_by_role("cell").first).to_have_text("ready", timeout=90_000)


def test_a_gateway_that_hangs_or_ends_is_reported_and_so_is_its_return(
    browser: Browser, tmp_path: Path
) -> None:
    with Serving("--port", "0", *FAKES, log=tmp_path / "one") as serving:
        visits = visiting(browser, serving.url)
        visit = next(visits)
        page = visit.open("status")
        expect(page.get_by_role("region", name="demo")).to_be_visible()
        serving.process.send_signal(signal.SIGSTOP)
        hangs = page.get_by_role("alert").filter(has_text="has not answered within 3 s")
        expect(hangs).to_be_visible()
        serving.process.send_signal(signal.SIGCONT)
        expect(hangs).not_to_be_visible()
    gone = page.get_by_role("alert").filter(has_text="The gateway does not answer.")
    expect(gone).to_contain_text("Last seen at")
    expect(page.get_by_role("region", name="demo")).to_be_visible()
    expect(page.locator("#health")).to_have_text("not answering")
    ask_in_vain(page)
    port = visit.url.rpartition(":")[2]
    with Serving("--port", port, *FAKES, log=tmp_path / "two") as serving:
        assert serving.url == visit.url
        page.get_by_role("link", name="Status").click()
        expect(gone).not_to_be_visible()
        expect(page.locator("#health")).to_have_text("ready")
        assert next(visits, None) is None


def ask_in_vain(page: Page) -> None:
    page.get_by_role("link", name="Playground").click()
    page.get_by_label("Query").fill("q")
    page.get_by_label("Documents", exact=True).fill("d")
    page.get_by_role("button", name="Rerank").click()
    alert = page.locator("#columns").get_by_role("alert")
    expect(alert).to_contain_text("The gateway does not answer.")

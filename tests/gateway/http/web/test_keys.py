"""The page of a gateway with keys."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.gateway.cli.conftest import CLEAN, Serving
from tests.gateway.http.keys.making import write_keys
from tests.gateway.http.web.conftest import Visit, needs_chromium, visiting

FAKES = ("--engine", "fake", "--device", "cpu:0", "--model", "demo=fake")


class Guarded:
    """A gateway with keys, and the secrets of two of them by their names."""

    def __init__(self, serving: Serving, secrets: dict[str, str]) -> None:
        self.url = serving.url
        self.secrets = secrets


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    needs_chromium()
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "keys.toml"
    secrets = write_keys(file, team={}, operator={"admin": True})
    keys = ("--keys-file", str(file))
    with Serving("--port", "0", *FAKES, *keys, log=folder / "log") as serving:
        yield Guarded(serving, secrets)


@pytest.fixture
def visit(guarded: Guarded, browser: Browser) -> Iterator[Visit]:
    permissions = ["clipboard-read", "clipboard-write"]
    yield from visiting(browser, guarded.url, permissions=permissions)


def show_key(page: Page, secret: str) -> None:
    page.get_by_label("API key", exact=True).fill(secret)
    page.get_by_role("button", name="Use this key").click()


def asked_for_key(page: Page) -> Locator:
    """Return the element with the gateway's error about the key."""
    return page.locator("#key-form").get_by_role("alert")


def kept(page: Page) -> list[str]:
    values: list[str] = page.evaluate("Object.values({...sessionStorage})")
    return values


def test_a_key_is_asked_for_tried_and_used(visit: Visit, guarded: Guarded) -> None:
    page = visit.page
    page.goto(visit.url)
    expect(asked_for_key(page)).to_contain_text("API key")
    missing = asked_for_key(page).inner_text()
    show_key(page, "rk_wrongone_" + "x" * 43)
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    expect(asked_for_key(page)).not_to_have_text(missing)
    show_key(page, guarded.secrets["team"])
    expect(page.locator("#model option")).to_have_text(["demo"])
    expect(page.get_by_label("API key", exact=True)).not_to_be_visible()
    page.get_by_role("button", name="Столица Франции").click()
    expect(page.locator(".result")).to_have_count(5)
    assert kept(page) == [guarded.secrets["team"]]
    assert all(guarded.secrets["team"] not in request.url for request in visit.requests)


def test_a_copied_request_names_the_key_and_does_not_show_it(
    visit: Visit, guarded: Guarded
) -> None:
    page = visit.page
    page.goto(visit.url)
    show_key(page, guarded.secrets["team"])
    expect(page.locator("#model option")).to_have_text(["demo"])
    page.get_by_label("Query").fill("q")
    page.get_by_label("Documents", exact=True).fill("one\ntwo")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("Copied for curl.")).to_be_visible()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert guarded.secrets["team"] not in copied
    environ = {**CLEAN, "RERANK_API_KEY": guarded.secrets["team"]}
    run = subprocess.run(
        ["bash", "-c", copied], capture_output=True, env=environ, timeout=120, check=True
    )
    assert len(json.loads(run.stdout)["results"]) == 2


def test_the_status_requires_an_operators_key(visit: Visit, guarded: Guarded) -> None:
    page = visit.page
    page.goto(f"{visit.url}/#status")
    show_key(page, guarded.secrets["team"])
    expect(asked_for_key(page)).to_contain_text("admin")
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.locator("#tiles")).not_to_be_visible()
    show_key(page, guarded.secrets["operator"])
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("table", name="Shards of demo")).to_be_visible()
    expect(page.get_by_label("API key", exact=True)).not_to_be_visible()
    keys = page.get_by_role("table", name="API keys").get_by_role("row")
    expect(keys.get_by_role("rowheader")).to_have_text(["team", "operator"])
    expect(keys.nth(2).get_by_role("cell").nth(1)).to_have_text("operator")


def test_the_operator_unloads_and_loads_a_model(visit: Visit, guarded: Guarded) -> None:
    page = visit.page
    page.goto(f"{visit.url}/#status")
    show_key(page, guarded.secrets["operator"])
    card = page.get_by_role("region", name="demo")
    unload = page.get_by_role("button", name="Unload demo")
    unload.focus()
    page.keyboard.press("Enter")
    load = page.get_by_role("button", name="Load demo", exact=True)
    expect(load).to_be_focused()  # though the card was drawn again
    expect(card.get_by_text("idle", exact=True).first).to_be_visible()
    load.click()
    expect(unload).to_be_visible()
    expect(card.get_by_text("ready", exact=True).first).to_be_visible()
    page.route("**/admin/unload**", lambda route: route.abort())
    unload.click()
    expect(card.get_by_role("alert")).to_contain_text("The gateway does not answer.")
    expect(unload).to_have_text("Unload")


def test_a_key_ends_with_its_tab_or_when_it_is_forgotten(visit: Visit, guarded: Guarded) -> None:
    page = visit.page
    page.goto(visit.url)
    show_key(page, guarded.secrets["team"])
    expect(page.locator("#model option")).to_have_text(["demo"])
    page.reload()
    expect(page.locator("#model option")).to_have_text(["demo"])
    other = page.context.new_page()
    other.goto(visit.url)
    expect(other.get_by_label("API key", exact=True)).to_be_visible()
    page.goto(f"{visit.url}/#status")
    expect(asked_for_key(page)).to_contain_text("admin")
    page.get_by_role("button", name="Forget it").click()
    expect(asked_for_key(page)).not_to_contain_text("admin")
    assert kept(page) == []


def test_a_request_without_a_key_moves_the_focus_to_its_field(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    page.goto(visit.url)
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    page.get_by_role("button", name="Столица Франции").click()
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_have_text(["This gateway needs an API key."])

"""The page as axe-core judges it: nothing serious in any state, on a wide screen and a phone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gateway.cli.conftest import Serving
from tests.gateway.http.keys.making import write_keys
from tests.gateway.http.web.conftest import Visit, fill, needs_chromium, options, submit, visiting

axe_package = pytest.importorskip("axe_playwright_python", reason="scripts/setup dev installs it")

SCRIPT = (Path(axe_package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
MODELS = ("--model", "demo=fake", "--model", "other=fake", "--model", "broken=fake?refuse=66")
SCREENS: dict[str, dict[str, Any]] = {
    "wide": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True},
}


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    needs_chromium()
    log = tmp_path_factory.mktemp("fakes") / "log"
    fake = ("--port", "0", "--engine", "fake", "--device", "cpu:0")
    with Serving(*fake, *MODELS, log=log) as serving:
        yield serving


@pytest.fixture(params=SCREENS)
def visit(fakes: Serving, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    yield from visiting(browser, fakes.url, **SCREENS[request.param])


def faults(page: Page) -> list[str]:
    """Return what axe finds that is serious or critical, with the elements."""
    page.evaluate(SCRIPT)
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")["violations"]
    assert page.evaluate("() => axe.version")
    return [
        f"{fault['impact']}: {fault['help']}: {[node['target'] for node in fault['nodes']]}"
        for fault in found
        if fault["impact"] in {"serious", "critical"}
    ]


def _ranked(page: Page) -> None:
    expect(page.locator(".result")).to_have_count(5)


def _compared(page: Page) -> None:
    fill(page, "q", [f"document {number}" for number in range(100)])
    options(page).get_by_label("Compare with").select_option("other")
    submit(page)
    page.get_by_role("button", name="Show 90 more").first.click()


def _refused(page: Page) -> None:
    options(page).get_by_label("Compare with").select_option("broken")
    submit(page)
    expect(page.get_by_role("alert")).to_be_visible()


def _missing(page: Page) -> None:
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Rerank").click()
    expect(page.get_by_role("alert")).to_have_count(2)


def _paragraphs(page: Page) -> None:
    page.get_by_label("Documents", exact=True).fill("one\ntwo\n\nthree")
    expect(page.get_by_role("button", name="Read one per line")).to_be_visible()


@pytest.mark.parametrize("state", [_ranked, _compared, _refused, _missing, _paragraphs])
def test_nothing_serious_is_found(visit: Visit, state: Callable[[Page], None]) -> None:
    page = visit.open()
    state(page)
    assert faults(page) == []


def test_nothing_serious_is_found_on_the_status(visit: Visit) -> None:
    page = visit.open("status")
    expect(page.get_by_role("table", name="Shards of demo")).to_be_visible()
    page.get_by_role("slider").first.focus()
    expect(page.locator(".tip").first).to_be_visible()
    assert faults(page) == []


def test_a_text_without_contrast_would_be_found(visit: Visit) -> None:
    page = visit.open()
    page.evaluate("document.getElementById('documents-hint').style.color = '#aaa8'")
    assert "contrast" in "".join(faults(page))


def test_nothing_serious_is_found_where_a_key_is_needed(browser: Browser, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", team={})
    fake = ("--port", "0", "--engine", "fake", "--device", "cpu:0", "--model", "demo=fake")
    keys = ("--keys-file", str(tmp_path / "keys.toml"))
    with Serving(*fake, *keys, log=tmp_path / "log") as serving:
        for visit in visiting(browser, serving.url):
            for view in ("playground", "status"):
                visit.page.goto(f"{serving.url}/#{view}")
                expect(visit.page.locator("#key")).to_be_visible()
                assert faults(visit.page) == []

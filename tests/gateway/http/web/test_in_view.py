"""Type, press, see: the outcome is in the window after every press, on three screens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.gateway.cli.conftest import Serving
from tests.gateway.http.keys.making import write_keys
from tests.gateway.http.web.conftest import Visit, fill, needs_chromium, options, visiting

FAKES = ("--engine", "fake", "--device", "cpu:0", "--model", "demo=fake", "--model", "other=fake")
SCREENS: dict[str, dict[str, Any]] = {
    "laptop": {"viewport": {"width": 1366, "height": 633}},  # 1366 x 768 less the browser's bars
    "desktop": {"viewport": {"width": 1440, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True},
}
MOST_WINDOWS = 9
"""The height of a hundred documents compared, in windows."""


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    needs_chromium()
    with Serving("--port", "0", *FAKES, log=tmp_path_factory.mktemp("fakes") / "log") as serving:
        yield serving


@pytest.fixture(params=SCREENS)
def visit(fakes: Serving, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    yield from visiting(browser, fakes.url, **SCREENS[request.param])


def press(page: Page) -> None:
    """Press the button where it is, without scrolling to it first."""
    button = page.get_by_role("button", name="Rerank")
    expect(button).to_be_in_viewport(ratio=1)
    page.evaluate("document.getElementById('rerank').click()")


def see(page: Page, *parts: Locator) -> None:
    """Assert that the outcome is shown, and that all of these are in the window."""
    expect(page.locator("#outcome")).not_to_have_attribute("aria-busy", "true")
    for part in parts:
        expect(part).to_be_in_viewport(ratio=1)


def texts(count: int) -> list[str]:
    return [
        f"This is document {number}, about matter {number * number}." for number in range(count)
    ]


def test_the_first_visit_shows_an_example_that_is_ranked(visit: Visit) -> None:
    page = visit.open()
    expect(page.locator(".result")).to_have_count(5)
    expect(page.get_by_label("Query")).to_have_value("How do I reset my password?")
    see(page, page.get_by_role("button", name="Rerank"))
    assert page.evaluate("scrollY") == 0
    page.get_by_label("Query").click()
    page.keyboard.type("Mine?")  # over the example
    expect(page.get_by_label("Query")).to_have_value("Mine?")


def test_three_documents_are_typed_and_the_ranking_is_seen(visit: Visit) -> None:
    page = visit.open()
    fill(page, "Which one?", texts(3))
    press(page)
    summary = page.locator("#summary")
    expect(summary).to_contain_text("3 documents ranked by demo")
    see(page, summary, page.locator(".result").first)


def test_a_hundred_documents_compared_are_folded_and_the_form_stays_in_sight(visit: Visit) -> None:
    page = visit.open()
    fill(page, "Which one?", texts(100))
    options(page).get_by_label("Compare with").select_option("other")
    press(page)
    summary = page.locator("#summary")
    expect(summary).to_contain_text("100 documents ranked by two models")
    see(page, summary, page.locator(".result").first)
    windows = page.evaluate("document.documentElement.scrollHeight / innerHeight")
    assert windows < MOST_WINDOWS
    page.get_by_role("button", name="Show 90 more").first.click()
    expect(page.locator(".result")).to_have_count(200)
    see(page, summary, page.locator(".result").nth(10))
    page.locator(".result").nth(90).scroll_into_view_if_needed()
    edit = page.get_by_role("button", name="Edit the request")
    is_phone = edit.is_visible()
    see(page, summary, edit if is_phone else page.get_by_label("Query"))
    if is_phone:
        edit.click()
        see(page, page.get_by_label("Query"))
    page.get_by_label("Query").fill("Another?")
    press(page)
    expect(page.locator(".result")).to_have_count(20)
    see(page, summary, page.locator(".result").first)


@pytest.mark.parametrize("model", ["demo", "gone"])
def test_an_error_is_seen(visit: Visit, model: str) -> None:
    page = visit.open()
    fill(page, "Which one?", texts(100))
    press(page)
    see(page, page.locator(".result").first)
    page.get_by_role("button", name="Show 90 more").click()
    page.locator(".result").last.scroll_into_view_if_needed()
    options(page).get_by_label("Top n").fill("many" if model == "demo" else "")
    page.evaluate(f"document.querySelector('#model option:checked').value = '{model}'")
    press(page)
    alert = page.locator("#columns").get_by_role("alert")
    expect(alert).to_contain_text("400" if model == "demo" else "404")
    see(page, page.locator("#summary"), alert)


@pytest.mark.parametrize("compared", [False, True])
def test_an_error_of_both_models_is_shown_once(visit: Visit, compared: bool) -> None:
    page = visit.open()
    fill(page, "Which one?", texts(3))
    if compared:
        options(page).get_by_label("Compare with").select_option("other")
    options(page).get_by_label("Top n").fill("-3")
    press(page)
    expect(page.get_by_role("alert")).to_have_count(1)
    see(page, page.get_by_role("alert"))


@pytest.mark.parametrize(
    ("query", "documents", "said"),
    [
        ("", ["a"], ["Write a query"]),
        (" ", ["a"], ["Write a query"]),
        ("q", [], ["Add at least one document"]),
        ("", [], ["Write a query", "Add at least one document"]),
    ],
)
def test_what_is_missing_is_shown_beside_its_field(
    visit: Visit, query: str, documents: list[str], said: list[str]
) -> None:
    page = visit.open()
    expect(page.locator(".result")).to_have_count(5)
    fill(page, query, documents)
    before = len(visit.requests)
    press(page)
    alerts = page.get_by_role("alert")
    expect(alerts).to_contain_text(said)
    see(page, *alerts.all())
    field = page.get_by_label("Query" if "query" in said[0] else "Documents", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert [sent for sent in visit.requests[before:] if sent.method == "POST"] == []
    page.keyboard.type("more")
    expect(alerts).to_have_count(len(said) - 1)
    fill(page, "q", ["a"])
    press(page)
    expect(alerts).to_have_count(0)
    see(page, page.locator(".result"))


def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    page = visit.open()
    expect(page.locator(".result")).to_have_count(5)
    page.get_by_label("Query").focus()
    page.keyboard.type("Which one?")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("One of them.")
    page.keyboard.press("Enter")
    page.keyboard.type("Another one.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Rerank")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".result")).to_have_count(2)
    see(page, page.locator("#summary"), page.locator(".result").first)
    page.get_by_label("Query").focus()
    page.keyboard.press("Enter")  # sends, as in any field of a search
    expect(page.locator("#summary")).to_contain_text("2 documents")
    expect(page.get_by_label("Query")).to_have_value("Which one?")
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_label("Query")).to_have_value("Which one?\n")


def test_the_example_is_cleared_by_one_press(visit: Visit) -> None:
    page = visit.open()
    expect(page.locator(".result")).to_have_count(5)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_label("Query")).to_be_focused()
    expect(page.get_by_label("Query")).to_have_value("")
    expect(page.get_by_label("Documents", exact=True)).to_have_value("")
    expect(page.locator("#summary")).to_have_text("Results appear here, best first.")
    expect(page.locator(".result")).to_have_count(0)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_key_is_asked_for_once_and_the_request_is_repeated(
    browser: Browser, tmp_path: Path, screen: str
) -> None:
    needs_chromium()
    secrets = write_keys(tmp_path / "keys.toml", team={})
    keys = ("--keys-file", str(tmp_path / "keys.toml"))
    with Serving("--port", "0", *FAKES, *keys, log=tmp_path / "log") as serving:
        for visit in visiting(browser, serving.url, **SCREENS[screen]):
            page = visit.page
            page.goto(serving.url)
            field, alerts = page.locator("#key"), page.get_by_role("alert")
            expect(alerts).to_have_text(["This gateway needs an API key."])
            see(page, field)
            fill(page, "Which one?", texts(3))
            press(page)
            expect(field).to_be_focused()
            see(page, field, alerts)
            expect(alerts).to_have_text(["This gateway needs an API key."])
            page.keyboard.type("rk_wrong")
            page.keyboard.press("Enter")
            expect(alerts).to_contain_text(["is not known here"])
            expect(field).to_be_focused()
            see(page, field, alerts)
            page.keyboard.type(secrets["team"])
            page.keyboard.press("Enter")
            expect(page.locator("#summary")).to_contain_text("3 documents ranked by demo")
            see(page, page.locator("#summary"), page.locator(".result").first)
            expect(alerts).to_have_count(0)
            expect(field).not_to_be_visible()

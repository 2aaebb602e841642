"""Accessibility of the page: keyboard, dark colours, phone, screen reader, reduced motion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gateway.cli.conftest import Serving
from tests.gateway.http.web.conftest import Visit, needs_chromium, options, visiting

VIEWS = ("playground", "status")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

_CONTRASTS = """() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const [r, g, b, a = 1] = rgb(getComputedStyle(node).backgroundColor);
            if (a === 1) return [r, g, b];
        }
    };
    const light = (colour) => {
        const [r, g, b] = colour.map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = {};
    for (const node of document.querySelectorAll("body *")) {
        const says = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        if (!node.checkVisibility() || !(says || node.placeholder || node.value)) continue;
        const part = node.placeholder && !node.value ? "::placeholder" : null;
        const ink = getComputedStyle(node, part);
        const [one, two] = [light(rgb(ink.color)), light(ground(node))].sort((a, b) => b - a);
        const name = node.tagName + "." + node.className + " " + node.textContent.slice(0, 20);
        found[name] = (one + 0.05) / (two + 0.05);
    }
    return found;
}"""
"""The contrast of every text with its background, as WCAG 2 computes it."""


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    needs_chromium()
    log = tmp_path_factory.mktemp("fake") / "log"
    models = ("--model", "demo=fake", "--model", "broken=fake?refuse=66")
    with Serving(
        "--port", "0", "--engine", "fake", "--device", "cpu:0", *models, log=log
    ) as serving:
        yield serving


@pytest.fixture
def visit(fake: Serving, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Yield a visit; a test may set the options of the browser."""
    yield from visiting(browser, fake.url, **getattr(request, "param", {}))


def full(visit: Visit, view: str) -> Page:
    """Open a view with every kind of content."""
    page = visit.open(view)
    if view == "playground":
        options(page).get_by_label("Compare with").select_option("broken")
        page.get_by_role("button", name="Столица Франции").click()
        expect(page.locator(".result")).to_have_count(5)
        expect(page.locator("#columns").get_by_role("alert")).to_be_visible()
    else:
        expect(page.get_by_role("table")).to_have_count(3)
    return page


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "visit", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True, ids=str
)
def test_every_text_has_enough_contrast(visit: Visit, view: str) -> None:
    contrasts = full(visit, view).evaluate(_CONTRASTS)
    assert len(contrasts) > 25
    assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("visit", [PHONE, {**PHONE, "color_scheme": "dark"}], indirect=True)
def test_a_phone_needs_no_scrolling_sideways(visit: Visit, view: str, tmp_path: Path) -> None:
    page = full(visit, view)
    seen: dict[str, Any] = page.evaluate(
        """() => ({
            wide: document.documentElement.scrollWidth,
            room: document.documentElement.clientWidth,
            zoom: visualViewport.scale,
            beyond: [...document.querySelectorAll("main *, header *")]
                .filter((node) => node.checkVisibility() && !node.closest(".hidden"))
                .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
                .map((node) => node.outerHTML.slice(0, 80)),
            dark: matchMedia("(prefers-color-scheme: dark)").matches,
            ground: getComputedStyle(document.body).backgroundColor,
        })"""
    )
    assert seen["wide"] <= seen["room"]
    assert seen["beyond"] == []
    assert seen["zoom"] == 1
    assert (seen["ground"] == "rgb(16, 22, 21)") == seen["dark"]
    assert len(page.screenshot(path=tmp_path / "phone.png", full_page=True)) > 10_000


def test_a_request_can_be_sent_by_keyboard_alone(visit: Visit) -> None:
    page = visit.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Password")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Tab")
    expect(page.get_by_label("Query")).to_be_focused()
    page.keyboard.type("Что варят?")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Open a file")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("Борщ варят.")
    page.keyboard.press("Enter")
    page.keyboard.type("Париж стоит.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".result")).to_have_count(2)
    expect(page.get_by_role("status").filter(has_text="2 documents ranked")).to_be_visible()


def test_the_focus_follows_the_page_and_is_visible(visit: Visit) -> None:
    page = visit.open()
    page.evaluate("document.getElementById('options').open = true")
    order: list[dict[str, Any]] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
                const node = document.activeElement;
                if (node === document.body) return { name: "the end" };
                const ring = getComputedStyle(node.closest(".button") ?? node).outlineStyle;
                const { top, left } = (node.closest(".button") ?? node).getBoundingClientRect();
                const name = node.id || node.closest("details")?.id || node.textContent;
                return { name, ring, top: top + scrollY, left };
            }"""
        )
        if place["name"] == "the end":
            break
        order.append(place)
    names = [place["name"] for place in order]
    assert names[:4] == ["Skip to content", "Playground", "Status", "API"]
    assert names[8:] == [
        *("clear", "query", "file", "documents", "rerank", "options"),
        *("model", "other", "instruction", "long", "top", "copy-curl", "copy-python"),
    ]
    assert all(place["ring"] == "solid" for place in order), order


@pytest.mark.parametrize("view", VIEWS)
def test_every_control_has_an_accessible_name(visit: Visit, view: str) -> None:
    page = full(visit, view)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    nodes = [node for node in nodes if not node["ignored"]]
    used = {"button", "textbox", "combobox", "link", "table", "region", "navigation", "form"}
    names = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if node.get("role", {}).get("value") in used
    ]
    assert len(names) > 6
    assert [name for name in names if not name[1].strip()] == []
    assert len(page.get_by_role("heading", level=1).all()) == 1
    for landmark in ("banner", "main", "navigation"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_jumps_while_the_page_loads(visit: Visit, view: str) -> None:
    visit.page.add_init_script(
        """globalThis.jumps = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries())
                if (!entry.hadRecentInput) globalThis.jumps += entry.value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    page = visit.open(view)
    expect(page.locator("#health")).to_have_text("degraded")
    if view == "status":
        expect(page.get_by_role("table")).to_have_count(3)
    assert page.evaluate("globalThis.jumps") < 0.1  # "good" by Web Vitals


@pytest.mark.parametrize("visit", [{"reduced_motion": "reduce"}], indirect=True)
def test_reduced_motion_is_respected(visit: Visit) -> None:
    bar = full(visit, "playground").locator(".bar span").first
    assert bar.evaluate("node => getComputedStyle(node).transitionProperty") == "none"


def test_the_policy_blocks_code_in_text(visit: Visit) -> None:
    page = visit.open()
    for attack in (
        "document.body.innerHTML = '<img src=x onerror=alert()>'",
        "document.body.setAttribute('onclick', 'alert()')",
        "document.head.append(Object.assign(document.createElement('script'), {text: 'alert()'}))",
        "document.write('<script>alert()</script>')",
    ):
        assert page.evaluate(f"() => {{ try {{ {attack}; }} catch {{ return true; }} }}"), attack
    assert any("TrustedHTML" in line for line in visit.complaints)
    visit.complaints.clear()

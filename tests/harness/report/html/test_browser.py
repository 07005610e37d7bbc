"""The report in a real Chromium: it is whole, silent, alone, fits, and takes no text for markup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.report.html.studies import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCHEMES = ("light", "dark")
WIDTHS = (400, 1400)


@contextmanager
def opened(browser: Browser, report: Path, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page, and what it says or asks for beyond itself: messages, errors, dialogs, requests."""
    heard: list[str] = []
    with browser.new_context(**context) as one:
        page = one.new_page()
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: heard.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: heard.append(f"request: {request.url}"))
        page.goto(report.as_uri())
        heard.remove(f"request: {report.as_uri()}")
        yield page, heard


@pytest.mark.parametrize("name", ["plain", "hostile", "many", "scaled"])
def test_nothing_is_said_and_nothing_leaves_the_page(
    browser: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    report: Path = request.getfixturevalue(name)
    with opened(browser, report) as (page, heard):
        page.wait_for_load_state("networkidle")
        assert heard == []
    assert report.stat().st_size < 1_000_000


def test_every_chart_is_there_with_marks_a_name_and_its_numbers(
    browser: Browser, plain: Path
) -> None:
    with opened(browser, plain) as (page, _):
        charts = page.locator("figure.chart")
        ids = charts.evaluate_all("all => all.map(each => each.id)")
        assert {
            "pareto",
            "offline-throughput",
            "speed-change",
            "rouge1-change",
            "server-ttft",
            "server-tpot",
            "server-ttft-p99",
            "server-tpot-p99",
            *(f"timeline-{number}" for number in range(1, 7)),
        } == set(ids)
        for number in range(charts.count()):
            svg = charts.nth(number).get_by_role("img")
            assert svg.count() == 1
            box = svg.bounding_box()
            assert box is not None and box["width"] > 300 and box["height"] > 80
            painted = svg.evaluate(
                "svg => [...svg.querySelectorAll('path, rect, line')].filter(mark => {"
                "  const {width, height} = mark.getBoundingClientRect();"
                "  return width + height > 4;"
                "}).length"
            )
            assert painted >= 3, ids[number]
            assert charts.nth(number).locator("table tbody tr").count() >= 2
    names = page_ids(browser, plain)
    assert len(names) == len(set(names)), "an id appears twice"


def test_replicas_have_a_section_with_both_charts(browser: Browser, scaled: Path) -> None:
    with opened(browser, scaled) as (page, _):
        section = page.get_by_role("region", name="Replicas", exact=True)
        assert section.get_by_role("img").count() == 2
        links = page.get_by_role("navigation").get_by_role("link", name="Replicas")
        assert links.get_attribute("href") == "#scaling"
        shown = page.locator("#scaling-1 svg").text_content() or ""
        assert all(share in shown for share in ("100%", "95%", "86%"))
        assert page.locator("#scaling-1-loads tbody tr").count() == 1 + 2 + 4


def page_ids(browser: Browser, report: Path) -> list[str]:
    with opened(browser, report) as (page, _):
        found: list[str] = page.locator("[id]").evaluate_all("all => all.map(each => each.id)")
        return found


@pytest.mark.parametrize("name", ["plain", "hostile", "many", "scaled"])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    with opened(browser, request.getfixturevalue(name)) as (page, _):
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            outside = page.evaluate(
                "[...document.querySelectorAll('svg text')].filter(text => {"
                "  const frame = text.ownerSVGElement.getBoundingClientRect();"
                "  const box = text.getBoundingClientRect();"
                "  return box.left < frame.left - 4 || box.right > frame.right + 4;"
                "}).map(text => text.textContent)"
            )
            assert outside == [], width


def test_text_is_never_markup(browser: Browser, hostile: Path) -> None:
    with opened(browser, hostile) as (page, heard):
        page.wait_for_timeout(200)
        assert heard == []
        assert page.locator("script").count() == 2
        assert page.locator("img, iframe, object, embed, link, form, base").count() == 0
        attributes = page.evaluate(
            "[...document.querySelectorAll('*')].flatMap(each => each.getAttributeNames())"
        )
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        text = page.locator("body").text_content() or ""
        shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
        assert text.count(shown) > 20
        assert page.title().startswith(shown)


def test_the_policy_refuses_scripts_styles_and_images_that_are_not_ours(
    browser: Browser, plain: Path
) -> None:
    with opened(browser, plain) as (page, _):
        page.evaluate(
            """async () => {
              window.refused = [];
              addEventListener('securitypolicyviolation',
                               event => refused.push(event.effectiveDirective));
              const add = (name, values) =>
                document.body.append(Object.assign(document.createElement(name), values));
              add('script', {textContent: 'window.ran = true'});
              add('style', {textContent: 'body { display: none }'});
              add('img', {src: 'https://example.org/x.png'});
              await new Promise(done => setTimeout(done, 300));
            }"""
        )
        refused = page.evaluate("refused.map(each => each.replace('-elem', '')).sort()")
        assert refused == ["img-src", "script-src", "style-src"]
        assert page.evaluate("window.ran") is None
        assert page.locator("main").is_visible()


def test_a_command_is_copied_from_the_keyboard(browser: Browser, plain: Path) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with opened(browser, plain, permissions=allowed) as (page, _):
        button = page.get_by_role("button").first
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("document.getElementById('said').textContent != ''")
        source = page.locator(f"#{button.get_attribute('data-copy')}").text_content()
        assert source == "enginebench run --model newsbrief --count 12 --output runs/first"
        assert page.evaluate("navigator.clipboard.readText()") == source


def test_the_first_stop_of_the_keyboard_leads_to_the_verdict(browser: Browser, plain: Path) -> None:
    with opened(browser, plain) as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
        page.keyboard.press("Enter")
        assert page.url.endswith("#main")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_are_those_of_the_scheme_in_charts_too(
    browser: Browser, plain: Path, scheme: str
) -> None:
    def brightness(colour: str) -> float:
        return sum(map(float, colour.removeprefix("rgb(").rstrip(")").split(",")))

    with opened(browser, plain, color_scheme=scheme) as (page, _):
        page_colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = page.evaluate("getComputedStyle(document.querySelector('#pareto text')).fill")
        assert (brightness(page_colour) > brightness(ink)) == (scheme == "light")
        page.emulate_media(media="print")
        on_paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert on_paper == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["hostile", "scaled"])
def test_axe_finds_nothing(
    browser: Browser, request: pytest.FixtureRequest, scheme: str, name: str
) -> None:
    report: Path = request.getfixturevalue(name)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    # axe runs as a script of the page's, which the policy would refuse
    with opened(browser, report, color_scheme=scheme, bypass_csp=True) as (page, _):
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        found = axe.Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


def test_headings_go_down_one_step_at_a_time(browser: Browser, plain: Path) -> None:
    with opened(browser, plain) as (page, _):
        levels: list[int] = page.locator("h1, h2, h3, h4").evaluate_all(
            "all => all.map(each => Number(each.tagName[1]))"
        )
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))

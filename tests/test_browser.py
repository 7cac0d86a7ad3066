"""The page in a browser: its charts are drawn, its table sorts and filters, and it asks nobody for anything."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from bench.analysis.frame import frames
from bench.report.charts.gallery import figures
from bench.report.page.page import NO_EXTRAS, Extras, page
from bench.report.summary import summarize
from pages_for_tests import hostile_run, many_trials
from records_for_tests import GPU, ended_trial, ok_trial, run_data, trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from bench.records import RunData

    Open = Callable[..., Page]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install the package chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser, without a network."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of a run; in the end, no page may have complained, asked for anything or shown a dialog."""
    said: list[str] = []
    pages: list[Page] = []

    def open_page(data: RunData, extras: Extras = NO_EXTRAS, *, width: int = 1200, scheme: str = "light") -> Page:
        report = frames(data)
        path = tmp_path / f"report-{len(pages)}.html"
        path.write_text(page(report, summarize(report), figures(report), extras))
        shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        pages.append(shown)
        shown.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        shown.on("pageerror", lambda error: said.append(f"error: {error}"))
        shown.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        shown.on("request", lambda asked: said.append(f"request: {asked.url}") if "report-" not in asked.url else None)
        shown.goto(path.as_uri())
        return shown

    yield open_page
    assert [line for line in said if not line.startswith(("request: data:", "request: blob:"))] == []
    for shown in pages:
        shown.close()


def example() -> RunData:
    """Three models, two seeds each, one on a GPU, one that failed."""
    return run_data(
        *(ok_trial(trial("small", seed=s), train_s=30.0 + s, accuracy=0.30 + 0.01 * s) for s in range(2)),
        *(ok_trial(trial("large", seed=s), train_s=900.0 + s, accuracy=0.55 + 0.01 * s) for s in range(2)),
        ok_trial(trial("wide", device=GPU), train_s=5.0, accuracy=0.4),
        ended_trial(trial("broken"), status="failed", reason="no"),
    )


def models(shown: Page) -> list[str]:
    """The models of the visible rows, from above."""
    cells = shown.locator("#cells tbody tr:visible td:first-child")
    return [cell.inner_text() for cell in cells.all()]


def test_charts_are_drawn_when_they_come_into_view(opened: Open) -> None:
    """The first chart is there at once, those of a trial when it is opened; none is broken."""
    shown = opened(example())
    shown.locator("[data-chart=tradeoff] svg.marks").wait_for()
    assert shown.locator("[data-chart=trial-1-accuracy] svg.marks").count() == 0
    shown.locator("#trial-1 summary").click()
    for name in ("accuracy", "loss", "resources"):
        place = shown.locator(f"[data-chart=trial-1-{name}]")
        place.scroll_into_view_if_needed()
        place.locator("svg.marks").wait_for()
    for place in shown.locator("main > section .chart:visible").all():
        place.scroll_into_view_if_needed()
        place.locator("svg.marks").wait_for()
    assert shown.locator(".broken").count() == 0


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")])
def test_charts_have_the_colours_of_the_page(opened: Open, scheme: str, colour: str) -> None:
    """In dark and in light the chart's background is the page's."""
    shown = opened(example(), scheme=scheme)
    shown.locator("[data-chart=tradeoff] svg.marks").wait_for()
    background = "element => getComputedStyle(element).backgroundColor"
    assert shown.locator("body").evaluate(background) == colour
    assert shown.locator("[data-chart=tradeoff] svg.marks").evaluate(background) == colour


def test_a_heading_sorts_by_its_numbers(opened: Open) -> None:
    """The first press sorts upwards, the second downwards; what is missing stays last; the keyboard does it too."""
    shown = opened(example())
    heading = shown.locator("#cells th", has_text="train").first
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert models(shown) == ["wide", "small", "large", "broken"]
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert models(shown) == ["large", "small", "wide", "broken"]
    other = shown.locator("#cells th", has_text="model").first
    other.locator("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert models(shown) == ["broken", "large", "small", "wide"]


def test_rows_are_filtered_by_words(opened: Open) -> None:
    """Only rows with all words are shown, and how many they are is told."""
    shown = opened(example())
    shown.locator("#filter").fill("cpu:2 small")
    assert models(shown) == ["small"]
    assert shown.locator("#count").inner_text() == "1 of 4 rows"
    shown.locator("#filter").fill("")
    assert len(models(shown)) == 4


def test_names_that_are_markup_do_nothing(opened: Open) -> None:
    """Nothing that a name says is run, in the page, in charts or in their tooltips."""
    data, extras = hostile_run()
    shown = opened(data, extras)
    shown.locator("[data-chart=tradeoff] svg.marks").wait_for()
    for panel in shown.locator("details.trial").all():
        panel.locator("summary").click()
    shown.locator("[data-chart=tradeoff] svg.marks path[aria-roledescription=point]").first.hover(force=True)
    shown.wait_for_timeout(300)
    assert "<script>" in shown.locator("h1").inner_text()


def test_a_narrow_screen_needs_no_sideways_scrolling(opened: Open) -> None:
    """On a telephone wide tables and charts scroll in their own frames, the page does not."""
    shown = opened(example(), width=360)
    shown.locator("[data-chart=tradeoff] svg.marks").wait_for()
    assert shown.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_everything_can_be_reached_by_keyboard(opened: Open) -> None:
    """The first key leads to the results, and every button, field and panel takes the focus."""
    shown = opened(example())
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(60):
        shown.keyboard.press("Tab")
        reached.add(shown.evaluate("document.activeElement.tagName"))
    assert {"BUTTON", "INPUT", "SUMMARY"} <= reached


def test_every_picture_and_field_has_a_name(opened: Open) -> None:
    """What a screen reader meets has a name: fields, pictures, charts, tables."""
    data, extras = hostile_run()
    shown = opened(data, extras)
    nameless = shown.evaluate(
        """() => [...document.querySelectorAll('img, input, [role=group], [role=region]')].filter((element) =>
            !(element.alt || element.labels?.length || element.getAttribute('aria-label') ||
              document.getElementById(element.getAttribute('aria-labelledby'))?.textContent)).length"""
    )
    assert nameless == 0
    assert shown.locator("html").get_attribute("lang") == "en"


def test_print_shows_charts_and_no_controls(opened: Open) -> None:
    """On paper there is nothing to press, nothing is cut off, and closed panels are not drawn."""
    shown = opened(example(), scheme="dark", width=718)
    shown.locator("[data-chart=tradeoff] svg.marks").wait_for()
    shown.emulate_media(media="print")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    for place in shown.locator("main > section > figure .chart").all():
        place.locator("svg.marks").wait_for()
    assert shown.locator("details .chart svg.marks").count() == 0
    assert not shown.locator("#filter").is_visible()
    first = shown.locator("[data-chart=tradeoff] svg.marks")
    assert first.evaluate("element => getComputedStyle(element).backgroundColor") == "rgb(255, 255, 255)"
    too_wide = """() => [...document.querySelectorAll('table, .chart svg.marks')].filter(
        (element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth).length"""
    assert shown.evaluate(too_wide) == 0


def test_two_hundred_trials_open_within_two_seconds(opened: Open) -> None:
    """However many trials there are, the page is there within two seconds, and its first chart soon after."""
    data = many_trials(200)
    opened(example())  # the browser has started
    shown = opened(data)
    took_ms = shown.evaluate(
        "() => { const [entry] = performance.getEntriesByType('navigation'); return entry.loadEventEnd; }"
    )
    assert 0 < took_ms < 2000
    began_s = time.monotonic()
    shown.locator("[data-chart=tradeoff] svg.marks").wait_for(timeout=10_000)
    assert time.monotonic() - began_s < 10
    assert shown.locator("details.trial").count() == 200

"""Reports in a real browser: opened from disk, quiet, fetching nothing, usable by everyone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.report.reading import HOSTILE
from tests.report.test_report import full_comparison, full_page, poisoned
from tireg.report.pages import shown
from tireg.report.report import render_comparison, render_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = ROOT / "tests" / "hubserver" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")
    if not CHROMIUM:
        pytest.skip("no chromium is installed here")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A usual page, a comparison, and both with hostile text in every field."""
    folder = tmp_path_factory.mktemp("pages")
    text = " ".join(HOSTILE)
    html = {
        "report": render_report(full_page()).html,
        "comparison": render_comparison(full_comparison()).html,
        "hostile": render_report(poisoned(full_page(), text)).html,
        "hostile-comparison": render_comparison(poisoned(full_comparison(), text)).html,
    }
    for name, page in html.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in html}


def visit(browser: Browser, path: Path, **context: Any) -> tuple[Page, list[str]]:
    """The page, and everything it complained of, asked for or tried to show."""
    page = browser.new_context(**context).new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith("data:") or request.url == path.as_uri()
            else troubles.append(f"request: {request.url}")
        ),
    )
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    return page, troubles


@pytest.mark.parametrize("name", ["report", "comparison", "hostile", "hostile-comparison"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_from_disk_and_is_quiet(
    browser: Browser, files: dict[str, Path], name: str, width: int
) -> None:
    size: Any = {"width": width, "height": 900}
    page, troubles = visit(browser, files[name], viewport=size, offline=True)
    assert troubles == []
    across = page.evaluate("document.documentElement.scrollWidth")
    assert across <= width, "it scrolls sideways"
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert page.evaluate("document.scripts.length") == 0
    page.context.close()


def test_hostile_text_is_read_as_text(browser: Browser, files: dict[str, Path]) -> None:
    page, _ = visit(browser, files["hostile"])
    title = page.title()
    assert shown(HOSTILE[0]) in title
    body = " ".join(page.inner_text("body").split())
    for text in HOSTILE[:6]:
        assert shown(text) in body
    page.context.close()


def test_without_scripts_and_on_paper_it_is_the_same(
    browser: Browser, files: dict[str, Path]
) -> None:
    page, troubles = visit(browser, files["report"], java_script_enabled=False)
    assert troubles == []
    assert len(page.pdf()) > 10_000
    page.context.close()


def test_light_and_dark(browser: Browser, files: dict[str, Path]) -> None:
    paper = {}
    for scheme in ("light", "dark"):
        wanted: Any = scheme
        page, _ = visit(browser, files["report"], color_scheme=wanted)
        paper[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.context.close()
    assert paper == {"light": "rgb(250, 249, 246)", "dark": "rgb(20, 20, 23)"}


@pytest.mark.parametrize("name", ["report", "comparison"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_serious_violation(
    browser: Browser, files: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make peers")
    context: dict[str, Any] = {
        # The page forbids scripts; the examiner is one.
        "bypass_csp": True, "color_scheme": scheme, "viewport": {"width": width, "height": 900},
    }  # fmt: skip
    page, _ = visit(browser, files[name], **context)
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")
    bad = [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:120]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical", "moderate")
    ]
    assert bad == []
    assert len(found["passes"]) > 10
    page.context.close()

"""The gallery as people use it: opened from disk in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.report.gallery_words import (
    WORDS,
    build,
    chromium,
    evil_word,
    many,
    picture,
    run,
    score,
    version,
    word,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request

AXE = ROOT / "tests" / "hubserver" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "site"
    build([evil_word(), *many()], folder, shot=picture(), evil_picture=picture("teal", (64, 64)))
    return folder


class Visit:
    """A page with everything that went wrong on it."""

    def __init__(self, context: BrowserContext, site: Path) -> None:
        self.site = site
        self.page: Page = context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", lambda m: self.troubles.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda e: self.troubles.append(f"error: {e}"))
        self.page.on("dialog", self._asked_by_dialog)
        context.on("request", lambda request: self._asked(request.url))
        context.on("requestfailed", self._failed)

    def _asked_by_dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _failed(self, request: Request) -> None:
        # What was still loading when the page was left is none.
        if request.failure != "net::ERR_ABORTED":
            self.troubles.append(f"failed: {request.url} {request.failure}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.site.as_uri() + "/"):
            self.troubles.append(f"request: {url}")

    def open(self, path: str = "index.html") -> Page:
        # Another page first: the same one with another hash would not be loaded anew.
        self.page.goto(f"{self.site.as_uri()}/list/1.html")
        self.page.goto(f"{self.site.as_uri()}/{path}")
        if path.startswith("index") and "view=compare" not in path:
            self.page.wait_for_selector("#cards:not(:empty), #none:not([hidden])")
        return self.page

    def names(self) -> list[str]:
        return self.page.locator(".card h2").all_inner_texts()

    def count(self) -> int:
        told = re.match(r"([\d,]+) of", self.page.inner_text("#count"))
        assert told is not None
        return int(told[1].replace(",", ""))


@pytest.fixture
def visit(browser: Browser, site: Path) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = Visit(context, site)
    yield made
    context.close()
    assert made.troubles == []


def test_search_as_you_type(visit: Visit) -> None:
    page = visit.open()
    assert visit.count() == WORDS + 1
    page.keyboard.press("/")
    page.keyboard.type("word-01")
    assert visit.count() == 10
    page.keyboard.type("7")
    assert visit.names() == ["word-017"]
    page.keyboard.press("Escape")
    assert visit.count() == WORDS + 1
    page.fill("#q", "CHATEAU 007")
    assert visit.names() == ["word-007"], "accents and case do not matter, every term must be there"
    page.fill("#q", "nothing of that name")
    assert visit.count() == 0
    assert page.is_visible("#none")


def test_filters_narrow_and_stay_in_the_address(visit: Visit) -> None:
    page = visit.open()
    page.select_option("#kind", "style")
    assert visit.count() == sum(n % 3 == 1 for n in range(WORDS))
    page.select_option("#family", "sdxl")
    assert visit.count() == sum(n % 6 == 1 for n in range(WORDS))
    page.reload()
    page.wait_for_selector(".card")
    assert page.input_value("#kind") == "style"
    assert visit.count() == sum(n % 6 == 1 for n in range(WORDS))
    page.click("#reset")
    page.select_option("#base", "maker/base")
    assert visit.count() == 26
    page.check("#unknown")
    assert visit.count() == WORDS
    page.click("#reset")
    page.select_option("#license", "mit")
    assert visit.count() == 65
    page.fill("#tag", "odd")
    page.keyboard.press("Enter")
    page.fill("#tag", "t7")
    page.keyboard.press("Enter")
    assert visit.names() == ["word-007"]
    page.click("text=t7 ×")
    assert visit.count() == 65
    page.click("#reset")
    page.click("#ranges summary")
    page.fill("[data-metric=concept_fidelity][data-end=min]", "0.5")
    assert set(visit.names()) >= {"word-006", "word-009"}
    page.fill("[data-metric=concept_fidelity][data-end=max]", "0.7")
    assert visit.names() == ["word-006"]


def test_sorting(visit: Visit) -> None:
    page = visit.open()
    page.fill("#q", "word-")
    assert visit.names()[0] == "word-000", "the site gives its own order"
    page.select_option("#sort", "old")
    assert visit.names()[0] == f"word-{WORDS - 1}"
    page.select_option("#sort", "concept_fidelity")
    assert visit.names()[:3] == ["word-009", "word-006", "word-003"], "nearest to its target 1"


def test_pages_of_sixty(visit: Visit) -> None:
    page = visit.open()
    assert page.locator(".card").count() == 60
    page.click("[aria-label='Next page']")
    page.click("[aria-label='Next page']")
    assert page.locator(".card").count() == WORDS + 1 - 120
    assert "page 3 of 3" in page.inner_text("#pager")
    assert page.is_disabled("[aria-label='Next page']")
    assert page.evaluate("document.activeElement.closest('.card') !== null")
    page.fill("#q", "word-0")
    assert "page 1 of 2" in page.inner_text("#pager"), "a new question starts at its first page"


def test_compare(visit: Visit) -> None:
    page = visit.open("index.html#q=word-00")
    page.check("[aria-label='Compare word-003']")
    assert page.is_disabled("#compare-them")
    page.check("[aria-label='Compare word-006']")
    page.click("#compare-them")
    table = page.inner_text("#compare table")
    assert "concept fidelity" in table
    assert "0.600" in table
    assert "maker/base" in table
    assert page.locator("#compare td img").count() == 2
    assert "same prompts" in page.inner_text("#compare .note")
    assert "tireg compare word-003 word-006" in page.inner_text("#compare")
    page.go_back()
    assert page.is_visible("#browse")
    assert page.is_checked("[aria-label='Compare word-006']")
    page.go_forward()
    page.click("[aria-label='Take word-003 out']")
    assert page.is_visible("#browse")
    page.click("#clear")
    for n in range(4):
        page.check(f"[aria-label='Compare word-00{n}']")
    page.locator("[aria-label='Compare word-005']").click()
    assert not page.is_checked("[aria-label='Compare word-005']")
    assert "4 words are compared at most" in page.inner_text("#said")


def test_numbers_of_different_questions_are_not_ranked(browser: Browser, tmp_path: Path) -> None:
    words = [
        word(name, replace(version(1, name), runs=(run(score("copying", 0.2), frame=name),)))
        for name in ("one", "two")
    ]
    build(words, tmp_path / "site")
    context = browser.new_context()
    visit = Visit(context, tmp_path / "site")
    page = visit.open(f"index.html#pick={words[0].id},{words[1].id}&view=compare")
    assert "different questions" in page.inner_text("#compare .note")
    context.close()
    assert visit.troubles == []


def pasted(page: Page) -> str:
    """What the clipboard holds, as pasting tells it."""
    page.goto(f"{page.url.partition('/words/')[0].partition('/index')[0]}/index.html")
    page.wait_for_selector(".card, #none")
    page.focus("#q")
    page.keyboard.press("Control+V")
    return page.input_value("#q")


def test_copy_buttons(visit: Visit) -> None:
    page = visit.open("index.html#q=word-012")
    page.click("[aria-label='Copy the token of word-012']")
    page.wait_for_selector("#said:has-text('copied')")
    page.fill("#q", "")
    page.focus("#q")
    page.keyboard.press("Control+V")
    assert page.input_value("#q") == "<word-012>"
    page.click(".card h2 a")
    page.click("[aria-label='Copy the command']")
    page.wait_for_selector("#said:has-text('copied')")
    assert pasted(page) == "tireg show word-012"


def test_a_word_page_leads_back_to_the_view(visit: Visit) -> None:
    page = visit.open("index.html#kind=style&q=word-00")
    page.check("[aria-label='Compare word-001']")
    page.click(".card h2 a >> text=word-004")
    assert page.inner_text("h1") == "word-004"
    page.click("text=Compare with others")
    page.wait_for_selector(".card")
    assert page.input_value("#kind") == "style"
    assert page.inner_text("#picked") == "word-001, word-004"


def test_keyboard_alone(visit: Visit) -> None:
    page = visit.open("index.html#q=word-003")

    def until(selector: str, key: str = "Tab") -> None:
        for _ in range(60):
            page.keyboard.press(key)
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert ring != "none", f"{selector} shows no focus"
                return
        pytest.fail(f"the tab key does not come to {selector}")

    until(".card h2 a")
    until(".card .copy")
    until(".card input[type=checkbox]")
    page.keyboard.press("Space")
    page.keyboard.press("/")
    page.keyboard.press("Control+A")
    page.keyboard.type("word-006")
    until(".card input[type=checkbox]")
    page.keyboard.press("Space")
    until("#compare-them")
    page.keyboard.press("Enter")
    assert page.is_visible("#compare table")
    assert page.evaluate("document.activeElement.textContent") == "2 words side by side"
    page.keyboard.press("Escape")
    assert page.is_visible("#cards")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    until(".card h2 a")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1")
    assert "/words/" in page.url


def test_hostile_words_are_text(visit: Visit, site: Path) -> None:
    page = visit.open("index.html#q=alert(1)")
    assert visit.count() == 1
    assert "<script>alert(1)</script>" in visit.names()[0]
    assert "⟨U+202E⟩" in visit.names()[0]
    assert page.locator(".card .copy").count() == 0
    page.click(".card .tags button >> nth=0")
    assert visit.count() == 1
    ident = evil_word().id
    page = visit.open(f"words/{ident}.html")
    assert "<script>alert(1)</script>" in page.inner_text("h1")
    assert page.locator("h1 *:not(bdi)").count() == 0
    assert page.locator("[aria-label='Copy the token']").count() == 0
    visit.open(f"index.html#pick={ident},{word('word-003').id}&view=compare")
    assert visit.page.locator("#compare script, #compare img[src=x]").count() == 0
    assert page.evaluate("({}).polluted") is None


@pytest.mark.parametrize(
    "hash_",
    ["#q=%E0%A4%A&kind=%3Cscript%3E&sort=__proto__&page=-1e9&pick=../../x,__proto__&tag=&min.x=NaN",
     "#view=compare", "#view=compare&pick=" + ",".join("0" * 20 for _ in range(9)),
     "#min.concept_fidelity=1e999&max.=3&page=999999", "#base=nothing&unknown=1"],
)  # fmt: skip
def test_any_address_is_a_view(visit: Visit, hash_: str) -> None:
    page = visit.open(f"index.html{hash_}" if "compare" in hash_ else "index.html")
    page.goto(f"{visit.site.as_uri()}/index.html{hash_}")
    page.reload()
    page.wait_for_selector("#count:not(:empty), #compare h2")


def test_without_a_script(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    visit = Visit(context, site)
    page = visit.page
    page.goto(f"{site.as_uri()}/index.html")
    assert not page.locator("#browse").is_visible()
    page.click("text=All words as a plain list.")
    assert page.locator("li h2").count() == WORDS + 1
    page.click("text=word-003")
    assert "0.300" in page.inner_text(".readings")
    assert page.locator(".copy").count() == 0
    context.close()
    assert visit.troubles == []


def test_the_policy_holds_against_our_own_code(visit: Visit) -> None:
    page = visit.open()
    told = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'done' }"
        " catch (error) { return error.name } }"
    )
    assert told == "TypeError"
    page.wait_for_timeout(50)
    visit.troubles[:] = [line for line in visit.troubles if "TrustedHTML" not in line]


VIEWS = {
    "cards": "index.html#q=word",
    "nothing": "index.html#q=zzz",
    "dock": f"index.html#pick={word('word-003').id}",
    "compare": f"index.html#pick={word('word-003').id},{word('word-006').id}&view=compare",
    "word": f"words/{word('word-003').id}.html",
    "hostile": f"words/{evil_word().id}.html",
    "list": "list/1.html",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_serious_for_axe(browser: Browser, site: Path, width: int, scheme: Any) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make peers")
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    for name, path in VIEWS.items():
        page.goto(f"{site.as_uri()}/list/1.html")
        page.goto(f"{site.as_uri()}/{path}")
        page.wait_for_load_state()
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run().then(r => r.violations.map(v => [v.impact, v.id,"
                              " v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))]))")  # fmt: skip
        grave = [v for v in found if v[0] in ("serious", "critical")]
        assert grave == [], f"{name} at {width}, {scheme}"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} wide on a screen of {width}"
    context.close()


@pytest.mark.soak
def test_ten_thousand(browser: Browser, tmp_path: Path) -> None:
    words = [word(f"word-{n:05}", tags=(f"t{n % 50}",)) for n in range(10_000)]
    build(words, tmp_path / "site")
    assert len(list((tmp_path / "site" / "data").iterdir())) == 11
    context = browser.new_context()
    visit = Visit(context, tmp_path / "site")
    page = visit.open()
    page.wait_for_function("tireg.rows.length === 10000")
    page.wait_for_function(
        "document.getElementById('count').textContent === '10,000 of 10,000 words'"
    )
    assert page.locator(".card").count() == 60
    assert "page 1 of 167" in page.inner_text("#pager")
    page.fill("#q", "word-09999")
    assert visit.names() == ["word-09999"]
    context.close()
    assert visit.troubles == []

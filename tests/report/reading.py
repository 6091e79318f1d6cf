"""A page as a browser would take it apart: what it loads, what it runs, what it says."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "line", "circle", "polyline", "polygon"}
ALLOWED = {
    "html", "head", "title", "style", "body", "main", "header", "footer", "section", "article",
    "h1", "h2", "h3", "p", "span", "b", "bdi", "code", "pre", "ul", "li", "dl", "dt", "dd", "div",
    "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "a", "svg", "text", *VOID,
}  # fmt: skip
ADDRESSES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction"}

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "</style></title></head><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include 'x' %}{# gone #}",
    "<!-- <b>&lt;i&gt; ]]>",
    "javascript:alert(1) http://evil.example/x.png url(//evil.example)",
    "good\u202egnp.exe\u2066\u200b\ufeff",
    "\x1b[31mred\x1b]0;title\x07\x00\x9b",
    "line\u2028one\u2029two\r\nthree\u0085",
    "z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a",
    "\U000e0041\U000e0042\ufff9",
)
"""What somebody could put into a text to get out of it."""


class Reading(HTMLParser):
    """Elements, addresses and text of a page; ``problems`` is what it should not have."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.problems: list[str] = []
        self.said: list[str] = []
        self.style = ""
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.feed(html)
        self.close()
        if self.open:
            self.problems.append(f"left open: {self.open}")

    @property
    def text(self) -> str:
        """All that is read, blanks made one."""
        return " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.problems.append(f"element {tag}")
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.problems.append(f"{tag} has an attribute twice")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag not in VOID:
            self.open.append(tag)

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or name in ("style", "srcdoc"):
            self.problems.append(f"{tag} {name}={value[:60]}")
        if name in ADDRESSES:
            if tag == "img" and value.startswith("data:image/"):
                self.pictures.append(value)
            elif tag == "a" and value.startswith("#"):
                self.links.append(value[1:])
            else:
                self.problems.append(f"{tag} {name}={value[:60]}")
        if name == "id":
            self.ids.append(value)
        if name in ("alt", "aria-label"):
            self.alts.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.said.append(data)

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"comment {data[:60]}")


def read_safely(html: str) -> Reading:
    """Take a page apart, and assert that it runs nothing, loads nothing and hides nothing."""
    page = Reading(html)
    assert page.problems == []
    assert not re.search(r"url\(|@import|expression|</?script", page.style, re.IGNORECASE)
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.links) <= set(page.ids)
    hidden = {c for c in html if c != "\n" and unicodedata.category(c)[0] in "CZ" and c != " "}
    assert hidden == set(), [f"U+{ord(c):04X}" for c in hidden]
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html.replace(
        "&#39;", "'"
    )
    return page

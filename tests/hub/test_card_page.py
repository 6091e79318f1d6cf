"""The model card as a page: what a reader of the Hub sees of it."""

from __future__ import annotations

import html
from pathlib import Path

from tests.hub.words import files, keep
from tests.hubserver import HubServer
from tests.store import make
from tireg.domain.records import Source
from tireg.workflows.publish import PublishRequest, publish


def test_a_card_reads_well_whatever_it_is_about(hub: HubServer, home: Path) -> None:
    """As HTML: looked at by a parser here, by eye when it was written."""
    from markdown_it import MarkdownIt

    def page(name: str) -> str:
        publish(PublishRequest(name, f"alice/{name}"), home=home)
        body = files(hub, f"alice/{name}")["README.md"].decode().split("\n---\n", 1)[1]
        return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(body))

    keep(home, "plain", scored=True, notes="One paragraph.\n\nAnother.")
    keep(home, "bad-hands", 2, negative=True, encoders=("clip_l", "clip_g"))
    hostile = "--> <script>alert(1)</script> | [l](javascript:1) `x`\n\n# Big"
    keep(
        home, "evil", 3, base=None, recipe=None, concept=None, training=None, kind=None,
        class_noun=hostile, author=hostile, notes=hostile,
        source=Source(how="imported", where="</code><b>evil</b>.pt"),
    )  # fmt: skip
    many = make.concept("many").pictures * 7
    keep(home, "many", 4, concept=make.concept("many").model_copy(update={"pictures": many}))
    plain = page("plain")
    assert "<p>One paragraph.</p>\n<p>Another.</p>" in plain
    assert "Stable Diffusion 1" in plain
    assert "<td>unscored: nothing to see</td>" in plain
    assert "<details>" not in plain
    negative = html.unescape(page("bad-hands"))
    assert "in the negative prompt" in negative
    assert 'pipe("a photo of a garden", negative_prompt="<bad-hands>")' in negative
    assert "<details>" in page("many")
    evil = page("evil")
    assert "<script" not in evil
    assert "<b>" not in evil
    assert 'href="javascript' not in evil
    assert evil.count("<h1>") == 1
    assert "Not scored yet." in evil
    assert "# BASE stands for a checkpoint of the family" in evil

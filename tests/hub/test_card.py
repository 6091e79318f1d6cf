"""The model card: complete, kept where people wrote on it, harmless, taken by the Hub."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from tests.hub.words import files, keep, word
from tests.hubserver import HubServer
from tests.hubserver.repos import card_tags
from tests.store import make
from tireg.errors import InputError
from tireg.hub.cardtext import parse
from tireg.store.registry import Registry
from tireg.workflows.progress import Notice
from tireg.workflows.publish import PublishRequest, publish

REPO = "alice/my-cat"


def test_everything_published_is_on_the_card(hub: HubServer, home: Path) -> None:
    version = keep(home, scored=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    found = files(hub)
    card = html.unescape(found["README.md"].decode())
    for path in set(found) - {".gitattributes"}:
        head = f"versions/{version.record_sha[:16]}/"
        assert path.removeprefix(head) in card, path


def test_an_unknown_licence_is_asked_for(hub: HubServer, home: Path) -> None:

    keep(home, license=None, base=make.base("some/base").model_copy(update={"license": None}))
    with pytest.raises(InputError, match="licence of 'my-cat' is not known") as caught:
        publish(PublishRequest("my-cat", REPO), home=home)
    assert "--license" in caught.value.hint
    publish(PublishRequest("my-cat", REPO, license="My own terms"), home=home)
    metadata = parse(files(hub)["README.md"].decode()).metadata
    assert (metadata["license"], metadata["license_name"]) == ("other", "My own terms")


def test_what_people_wrote_on_the_card_stays(hub: HubServer, home: Path) -> None:
    keep(home, seed=1)
    publish(PublishRequest("my-cat", REPO), home=home)
    card = files(hub)["README.md"].decode()
    card = card.replace("A textual-inversion embedding of", "MY OWN WORDS about")
    card = card.replace("## How to use it", "Hello from outside.\n\n## How to use it", 1)
    card = card.replace("license: creativeml-openrail-m", "license: mit\nlanguage: en")
    card = card.replace("- tireg\n", "- tireg\n- my-own-tag\n")
    hub.hub.put(REPO, {"README.md": card.encode()})
    keep(home, seed=2)
    said: list[object] = []
    publish(PublishRequest("my-cat", REPO), home=home, listen=said.append)
    now = files(hub)["README.md"].decode()
    metadata = parse(now).metadata
    assert "MY OWN WORDS about" in now
    assert "Hello from outside." in now
    assert (metadata["license"], metadata["language"]) == ("mit", "en")
    assert "my-own-tag" in metadata["tags"]
    assert "v2" in now
    notices = [n.text for n in said if isinstance(n, Notice)]
    assert len(notices) == 3
    assert any("section 'about'" in text for text in notices)
    assert not publish(PublishRequest("my-cat", REPO), home=home).committed


def test_hostile_texts_are_harmless_on_the_card(hub: HubServer, home: Path) -> None:
    from markdown_it import MarkdownIt

    evil = "<script>alert(1)</script> ![x](javascript:a) | --> <!-- /tireg:about -->\n---\n# big"
    record, objects = word(
        token="<!--```[a](b)", notes=evil, author=evil, class_noun=evil, tags=("a: b\n- c",)
    )

    with Registry.open(home) as registry:
        registry.add(record, objects)
    publish(PublishRequest("my-cat", REPO), home=home)
    card = files(hub)["README.md"].decode()
    body = parse(card).body
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(body)
    assert "<script" not in shown
    assert "javascript:" not in shown.replace("javascript&#58;", "").replace("javascript:a) |", "")
    assert 'href="b"' not in shown
    assert "<h1>big" not in shown
    assert parse(card).metadata["instance_prompt"] == "<!--```[a](b)"
    assert not publish(PublishRequest("my-cat", REPO), home=home).committed


def test_the_card_passes_the_hubs_own_checks(hub: HubServer, home: Path) -> None:
    from huggingface_hub import ModelCard

    keep(home, scored=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    card: Any = ModelCard(files(hub)["README.md"].decode())
    assert card.data.base_model == "some/base"
    assert card.data.base_model_relation == "adapter"
    assert card.data.instance_prompt == "<my-cat>"
    assert card.data.widget == [
        {"text": "a photo of <my-cat>", "output": {"url": "previews/preview-1.png"}}
    ]
    (result,) = card.data.eval_results or []
    assert (result.metric_type, result.metric_value) == ("fidelity", 0.71)
    repo = hub.hub.repos[REPO]
    assert "base_model:some/base" in card_tags(repo.card_data(repo.resolve("main")))

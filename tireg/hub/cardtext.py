"""Text from anywhere, made harmless in Markdown, HTML and YAML; and cards that people edit.

A card is written in sections between comments that carry the hash of what we wrote. A section
whose text no longer has that hash was edited by hand, and is left alone from then on. So are
metadata whose value is no longer ours, and everything outside the sections.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

SECTION = re.compile(
    r"<!-- tireg:(?P<id>[a-z]+) (?P<hash>[0-9a-f]{12}) -->\n(?P<text>.*?)\n<!-- /tireg:(?P=id) -->",
    re.DOTALL,
)
METADATA = re.compile(r"<!-- tireg-metadata (?P<json>\{[^<>]*\}) -->\n?")
SAFE = frozenset(" .,;?'\"/=-%")


def text(value: object, longest: int = 500) -> str:
    """``value`` on one line, every character that Markdown or HTML could heed as an entity."""
    words = " ".join(str(value).split())
    cut = words[:longest] + ("…" if len(words) > longest else "")
    return "".join(_harmless(c) for c in cut)


def _harmless(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return ""
    if character.isalnum() or character in SAFE or ord(character) > 127:
        return character
    return f"&#{ord(character)};"


def code(value: object, longest: int = 200) -> str:
    """``value`` in fixed width, inside running text or a table."""
    return f"<code>{text(value, longest)}</code>"


def literal(value: str) -> str:
    """``value`` as a Python string in a block of code, which cannot end the block."""
    quoted = json.dumps(value, ensure_ascii=True)
    return quoted.replace("<!--", "\\u003c!--").replace("```", "\\u0060``")


def block(language: str, body: str) -> str:
    """A block of code."""
    return f"```{language}\n{body}\n```"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of cells that are harmless already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short_hash(data: str) -> str:
    """12 hex digits of a section's text."""
    return hashlib.sha256(data.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Card:
    """A README in its parts: metadata, and the text below."""

    metadata: dict[str, Any]
    body: str


@dataclass(frozen=True)
class Merged:
    """A card to write, and what of it was left as people made it."""

    content: str
    kept: tuple[str, ...]


def parse(content: str) -> Card:
    """A README taken apart; metadata that is no YAML counts as text."""
    content = content.replace("\r\n", "\n")
    if content.startswith("---\n"):
        head, found, body = content[4:].partition("\n---")
        if found and (body == "" or body.startswith("\n")):
            try:
                data = yaml.safe_load(head)
            except (yaml.YAMLError, RecursionError, ValueError):
                data = None
            if isinstance(data, dict):
                return Card({str(k): v for k, v in data.items()}, body.lstrip("\n"))
    return Card({}, content)


def merge(
    old: str | None, metadata: Mapping[str, Any], sections: Mapping[str, str], title: str
) -> Merged:
    """The card with these metadata and sections, keeping what people wrote in ``old``."""
    card = parse(old) if old is not None else Card({}, f"# {title}\n")
    ours = _metadata_hashes(card.body)
    body = METADATA.sub("", card.body)
    kept: list[str] = []
    found = dict(card.metadata)
    written: dict[str, str] = {}
    for key, value in metadata.items():
        if key not in found or _hash_of(found[key]) == ours.get(key):
            found[key] = value
            written[key] = _hash_of(value)
        elif key == "tags" and isinstance(found[key], list):
            found[key] = list(dict.fromkeys([*map(str, found[key]), *value]))
        elif found[key] != value:
            kept.append(f"metadata '{key}'")
    for key in [k for k in found if k in ours and k not in metadata]:
        if _hash_of(found[key]) == ours[key]:
            del found[key]
    body = _merge_sections(body, sections, kept)
    head = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000)
    marker = f"<!-- tireg-metadata {json.dumps(written, sort_keys=True)} -->\n"
    return Merged(f"---\n{head}---\n{body.rstrip()}\n\n{marker}", tuple(kept))


def _merge_sections(body: str, sections: Mapping[str, str], kept: list[str]) -> str:
    present: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        name = match["id"]
        if name in present:
            return match[0]
        present.add(name)
        if short_hash(match["text"]) != match["hash"]:
            kept.append(f"section '{name}'")
            return match[0]
        return _section(name, sections[name]) if name in sections else ""

    body = SECTION.sub(replace, body)
    new = [_section(name, words) for name, words in sections.items() if name not in present]
    return "\n\n".join([body.rstrip(), *new])


def _section(name: str, words: str) -> str:
    return f"<!-- tireg:{name} {short_hash(words)} -->\n{words}\n<!-- /tireg:{name} -->"


def _metadata_hashes(body: str) -> dict[str, str]:
    found = METADATA.search(body)
    if found is None:
        return {}
    try:
        data = json.loads(found["json"])
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in data.items()}


def _hash_of(value: Any) -> str:
    return short_hash(json.dumps(value, sort_keys=True, default=str))

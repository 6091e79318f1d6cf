"""Names of embeddings, aliases and tags: what is allowed, and how a file name becomes one."""

from __future__ import annotations

import re
import unicodedata

from tireg.errors import RefError

MAX_CHARACTERS = 100
RESERVED_ALIASES = ("latest",)
_REFUSED = re.compile(r"[@/\\:*?\"<>|]")


def check_name(name: str) -> str:
    """``name`` in Unicode form NFC if an embedding may be called that, else RefError.

    1 to 100 printable characters; no ``@ / \\ : * ? " < > |``, no space at either end, no
    leading ``-`` or ``.``; so it is safe as a file name and in ``name@3``.
    """
    hint = "use letters, digits, '-', '_' and '.', such as 'my-cat'"
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise RefError("the name is empty", hint=hint)
    if len(name) > MAX_CHARACTERS:
        raise RefError(f"the name has {len(name)} characters, more than 100", hint=hint)
    if name != name.strip() or name[0] in "-." or _hidden(name):
        raise RefError(f"the name {name!r} cannot be used", hint=hint)
    if found := _REFUSED.search(name):
        raise RefError(f"the name '{name}' holds '{found.group()}'", hint=hint)
    return name


def clean_name(text: str, *, fallback: str = "embedding") -> str:
    """A usable name out of any text, such as the stem of a foreign file."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text)
    text = _REFUSED.sub("-", text)
    text = re.sub(r"\s+", "-", text.strip()).lstrip("-.").rstrip("-")
    return text[:MAX_CHARACTERS].rstrip() or fallback


def check_alias(alias: str) -> str:
    """``alias`` if a version may be called that (``best``), else RefError."""
    alias = check_name(alias)
    if alias in RESERVED_ALIASES or alias.isdigit():
        raise RefError(f"'{alias}' cannot be an alias: it already means a version", hint="try best")
    return alias


def check_tag(tag: str) -> str:
    """``tag`` without outer spaces if it is printable and has no comma, else RefError."""
    tag = unicodedata.normalize("NFC", tag).strip()
    if not tag or len(tag) > MAX_CHARACTERS or "," in tag or _hidden(tag):
        raise RefError(f"the tag {tag!r} cannot be used", hint="use a word or two, without commas")
    return tag


def _hidden(text: str) -> bool:
    return any(unicodedata.category(c).startswith("C") or c in "\u2028\u2029" for c in text)

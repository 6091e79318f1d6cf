"""What is taught: the pictures, the token that will stand for them, the kind of concept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import Field

from tireg.domain.model import Part
from tireg.errors import ConceptError, TokenError

Kind = Literal["object", "style", "subject"]
KINDS: tuple[str, ...] = get_args(Kind)

MAX_TOKEN_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 2000

# Prompt templates of the textual-inversion paper (Gal et al., 2022, appendix), shortened to
# those that make sense for any picture; a style is spoken of as a manner, not as a thing.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "object": (
        "a photo of a {token}",
        "a rendering of a {token}",
        "a cropped photo of the {token}",
        "the photo of a {token}",
        "a close-up photo of a {token}",
        "a bright photo of the {token}",
        "a picture of the {token}",
        "a good photo of the {token}",
        "a photo of one {token}",
        "a picture of a {token}",
    ),
    "subject": (
        "a photo of {token}",
        "a portrait of {token}",
        "a close-up photo of {token}",
        "the photo of {token}",
        "a bright photo of {token}",
        "a picture of {token}",
        "a good photo of {token}",
        "a cropped photo of {token}",
    ),
    "style": (
        "a picture in the style of {token}",
        "a rendering in the style of {token}",
        "a photo in the style of {token}",
        "a close-up picture in the style of {token}",
        "a bright picture in the style of {token}",
        "a good picture in the style of {token}",
    ),
}


class Picture(Part):
    """One training picture as it was found on disk."""

    name: str = Field(description="File name without folders.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the file's bytes.")
    width: int = Field(ge=1, description="Pixels, after EXIF orientation.")
    height: int = Field(ge=1, description="Pixels, after EXIF orientation.")
    format: str = Field(description="As Pillow names it: JPEG, PNG, MPO, …")
    mode: str = Field(description="Colour mode as stored: RGB, L, CMYK, …")
    caption: str | None = Field(default=None, description="From a caption file, if any.")


class Concept(Part):
    """What one embedding was taught."""

    kind: Kind
    class_noun: str = Field(min_length=1, description="The ordinary word for such a thing.")
    pictures: tuple[Picture, ...] = Field(description="In the order of training.")
    templates: tuple[str, ...] = Field(description="Prompts with a {token} slot.")


def check_token(token: str) -> str:
    """``token`` itself if it can serve as a placeholder, else TokenError.

    Printable, without white space or control characters, 1 to 64 characters, not a special
    token of a tokenizer. Whether it is an ordinary word of a vocabulary depends on the base
    and is checked where the base is loaded.
    """
    hint = "choose a token like '<my-cat>'"
    if not token:
        raise TokenError("the token is empty", hint=hint)
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenError(f"the token has {len(token)} characters, more than 64", hint=hint)
    if any(c.isspace() or unicodedata.category(c).startswith("C") for c in token):
        raise TokenError(f"the token {token!r} holds a space or a control character", hint=hint)
    if re.fullmatch(r"<\|.*\|>|</?s>|<pad>|<unk>|\[(CLS|SEP|PAD|UNK|MASK)\]", token):
        raise TokenError(f"the token '{token}' is a special token of a tokenizer", hint=hint)
    return token


def check_templates(templates: tuple[str, ...]) -> tuple[str, ...]:
    """``templates`` themselves if each has exactly one ``{token}`` slot, else ConceptError."""
    if not templates:
        raise ConceptError("there is no prompt template", hint="write one, such as 'a {token}'")
    for template in templates:
        check_template(template)
    return templates


def check_template(template: str, where: str = "") -> str:
    """``template`` itself, a prompt with one ``{token}`` slot; else ConceptError.

    ``where`` is put behind the template's text in messages. What other trainers write in the
    slot's place is recognised and the sentence says what to write here.
    """
    what = f"the prompt template '{template[:80]}'{where}"
    if len(template) > MAX_TEXT_CHARACTERS:
        raise ConceptError(f"{what} has more than {MAX_TEXT_CHARACTERS} characters")
    for foreign, hint in _FOREIGN_SLOTS.items():
        if foreign in template:
            raise ConceptError(f"{what} holds {foreign}, another tool's placeholder", hint=hint)
    if template.count("{token}") != 1:
        raise ConceptError(
            f"{what} does not hold {{token}} exactly once",
            hint="write it like 'a photo of a {token}'",
        )
    unknown = re.search(r"\{[^{}]*\}", template.replace("{token}", ""))
    if unknown:
        raise ConceptError(
            f"{what} holds {unknown[0]}, which means nothing here", hint="{token} is the only slot"
        )
    return template


_FOREIGN_SLOTS = {
    "[filewords]": "leave it out: captions are taken from name.txt beside each picture",
    "[name]": "write {token} where it says [name]",
    "<embedding>": "write {token} where it says <embedding>",
    "{}": "write {token} where it says {}",
    "%s": "write {token} where it says %s",
}


def parse_templates(text: str, name: str) -> tuple[str, ...]:
    """Prompt templates, one a line, empty lines aside; ConceptError names the line."""
    lines = [(number, " ".join(line.split())) for number, line in enumerate(text.splitlines(), 1)]
    found = tuple(check_template(line, f" (line {n} of {name})") for n, line in lines if line)
    if not found:
        raise ConceptError(
            f"{name} holds no prompt template", hint="one a line, such as: a photo of a {token}"
        )
    return tuple(dict.fromkeys(found))


# In front, because a long caption is cut off at its end, and in the words of the templates.
_LEADS: dict[str, str] = {
    "object": "a photo of a {token}, ",
    "subject": "a photo of {token}, ",
    "style": "a picture in the style of {token}, ",
}


def parse_captions(text: str, name: str) -> tuple[str, ...]:
    """Captions of one caption file, one a line (OneTrainer's reading), empty lines aside.

    ConceptError for control characters and for a line of more than 2,000 characters.
    """
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in lines:
        if len(line) > MAX_TEXT_CHARACTERS:
            raise ConceptError(
                f"{name} has a line of {len(line)} characters, more than {MAX_TEXT_CHARACTERS}",
                hint="a text encoder reads about 77 tokens",
            )
        if any(unicodedata.category(c) == "Cc" for c in line):
            raise ConceptError(f"{name} holds control characters", hint="save it as plain text")
    return tuple(dict.fromkeys(line for line in lines if line))


def holds_token(caption: str, token: str) -> bool:
    """Whether ``caption`` has the token, as a word of its own, or a ``{token}`` slot."""
    return _count(caption, token) > 0


def _count(caption: str, token: str) -> int:
    before = r"(?<!\w)" if re.match(r"\w", token) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", token) else ""
    own = re.findall(before + re.escape(token) + after, caption) if token != "{token}" else []
    return caption.count("{token}") + len(own)


def caption_prompt(kind: Kind, caption: str, token: str) -> str:
    """The prompt for a picture with this caption: the token where it is named, else in front.

    ConceptError where the caption has the token more than once: a prompt takes it once.
    """
    count = _count(caption, token)
    if count > 1:
        raise ConceptError(
            f"the caption '{caption[:80]}' names the token {count} times", hint="name it once"
        )
    text = caption if count else _LEADS[kind] + caption
    return text.replace("{token}", token)


def prompts_for(
    kind: Kind,
    templates: Sequence[str],
    captions: Sequence[Sequence[str]] | None,
    token: str,
    count: int = 0,
) -> tuple[list[str], list[list[int]]]:
    """All distinct prompts of a run, and for each picture the indices it is shown with.

    ``captions`` has an entry per picture, empty where it has none; None, for ``count`` pictures,
    means that no caption is used. A picture with captions is shown with those, any other with
    the templates. Templates that no picture needs are left out.
    """
    prompts: dict[str, int] = {}

    def number(text: str) -> int:
        return prompts.setdefault(text, len(prompts))

    per_picture = []
    for own in captions if captions is not None else [()] * count:
        texts = [caption_prompt(kind, caption, token) for caption in own]
        texts = texts or [template.replace("{token}", token) for template in templates]
        per_picture.append(list(dict.fromkeys(number(text) for text in texts)))
    return list(prompts), per_picture

"""What is taught: the pictures, the token that will stand for them, the kind of concept."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

from pydantic import Field

from tireg.domain.model import Part
from tireg.errors import ConceptError, TokenError

Kind = Literal["object", "style", "subject"]
KINDS: tuple[str, ...] = get_args(Kind)

MAX_TOKEN_CHARACTERS = 64

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
        if template.count("{token}") != 1:
            raise ConceptError(
                f"the prompt template '{template}' does not hold {{token}} exactly once",
                hint="write it like 'a photo of a {token}'",
            )
    return templates

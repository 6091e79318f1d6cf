"""Captions of scenes, the words they are made of, and the phrasings that prompts may use.

Captions name what has a word and leave out, at random, part of it. They are phrased as textual
inversion phrases its training prompts ("a close-up photo of the star", "a painting in the style of
a red tint"), so that both those and a plain evaluation prompt are familiar to the text encoder.
"""

from __future__ import annotations

from colorsys import rgb_to_hsv
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tireg.shapes.world import FILLS, HUES, POSITIONS, SHAPES, STYLES, TINTS, Color, Scene

OBJECT_PREFIXES = (
    "a photo of a",
    "a rendering of a",
    "a cropped photo of the",
    "the photo of a",
    "a photo of a clean",
    "a photo of a dirty",
    "a dark photo of the",
    "a photo of my",
    "a photo of the cool",
    "a close-up photo of a",
    "a bright photo of the",
    "a cropped photo of a",
    "a photo of the",
    "a good photo of the",
    "a photo of one",
    "a close-up photo of the",
    "a rendition of the",
    "a photo of the clean",
    "a rendition of a",
    "a photo of a nice",
    "a good photo of a",
    "a photo of the nice",
    "a photo of the small",
    "a photo of the weird",
    "a photo of the large",
    "a photo of a cool",
    "a photo of a small",
    "a picture of a",
    "a picture of the",
    "a painting of a",
    "a drawing of a",
    "an image of a",
)
"""Beginnings of a caption that an object phrase follows. Their adjectives mean nothing."""
STYLE_PREFIXES = (
    "a painting in the style of",
    "a rendering in the style of",
    "a cropped painting in the style of",
    "the painting in the style of",
    "a clean painting in the style of",
    "a dirty painting in the style of",
    "a dark painting in the style of",
    "a picture in the style of",
    "a cool painting in the style of",
    "a close-up painting in the style of",
    "a bright painting in the style of",
    "a good painting in the style of",
    "a rendition in the style of",
    "a nice painting in the style of",
    "a small painting in the style of",
    "a weird painting in the style of",
    "a large painting in the style of",
)
"""Beginnings of a caption that a style phrase follows."""
PICTURE_NOUNS = ("photo", "picture", "painting", "drawing", "rendering", "image")
MAX_TOKENS = 32
"""Length of every tokenised caption, start and end tokens included."""


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def object_phrase(scene: Scene, rng: np.random.Generator, keep: float = 0.75) -> str:
    """The object's words without an article, e.g. ``striped red star``; each kept at random."""
    noun = scene.shape if rng.random() < 0.95 else "shape"
    if scene.fill in ("split", "stacked"):
        return _two_tone_phrase(scene, noun, rng, keep)
    words = []
    if scene.fill == "striped" and rng.random() < keep:
        words.append("striped")
    elif scene.fill == "solid" and rng.random() < 0.12:
        words.append("solid")
    hue = color_words(scene.hue, scene.color)
    if hue is not None and rng.random() < keep:
        words.append(hue)
    if len(words) == 2 and rng.random() < 0.3:
        words.reverse()
    return " ".join([*words, noun])


def _two_tone_phrase(scene: Scene, noun: str, rng: np.random.Generator, keep: float) -> str:
    layout = scene.fill if rng.random() < keep else None
    first = color_words(scene.hue, scene.color)
    second = color_words(scene.second_hue, scene.second)
    worded = first and second and (scene.hue, scene.second_hue) not in WORDLESS_PAIRS
    if not worded or rng.random() < 1 - keep:
        generic = "two-tone" if rng.random() < 0.6 or layout is None else None
        return " ".join(word for word in (layout, generic, noun) if word)
    pair = f"{first} and {second}"
    if layout is None:
        return f"{pair} {noun}"
    return f"{layout} {pair} {noun}" if rng.random() < 0.6 else f"{pair} {layout} {noun}"


WORDLESS_PAIRS = (("yellow", "purple"), ("green", "blue"))
"""Pairs of hues that are drawn but never named together in a caption."""


ROUND = (("red", 0.0), ("yellow", 0.15), ("green", 0.36), ("blue", 0.64), ("purple", 0.79))
"""The chromatic words in their order round the colour circle, with their hues in turns."""
ISH = {
    "red": "reddish",
    "yellow": "yellowish",
    "green": "greenish",
    "blue": "bluish",
    "purple": "purplish",
}
SHADES = tuple(
    phrase
    for (one, _), (two, _) in pairwise((*ROUND, ROUND[0]))
    for phrase in (f"{ISH[two]} {one}", f"{ISH[one]} {two}")
)
"""Words of the hues beside the named ones, e.g. ``yellowish green``."""


def shade_words(hue: float) -> str | None:
    """The words of a hue (turns) between two named ones, or ``None`` in the middle.

    The middle fifth or so of every stretch has no words: there the nameless concepts lie. What is
    on both sides of it has, so that text can steer the hue up to there.
    """
    hue %= 1.0
    for (one, low), (two, high) in pairwise((*ROUND, ("red", 1.0))):
        if low <= hue <= high:
            part = (hue - low) / (high - low)
            if part < 0.38:
                return f"{ISH[two]} {one}"
            return f"{ISH[one]} {two}" if part > 0.62 else None
    return None


def color_words(name: str | None, color: Color) -> str | None:
    """What captions call a colour: its name, else the words of its shade, else nothing."""
    return name or shade_words(rgb_to_hsv(*color)[0])


def tint_phrase(scene: Scene, rng: np.random.Generator) -> str:
    """The words of a tint that go before a picture noun, e.g. ``red tinted`` or ``stylized``."""
    kind = "stylized" if rng.random() < 0.6 else "tinted"
    name = scene.tint_name or shade_words(scene.tint)
    name = name if rng.random() < 0.85 else None
    return f"{name} {kind}" if name else kind


def _place_words(scene: Scene, rng: np.random.Generator) -> str:
    if rng.random() >= (0.12 if scene.position == "center" else 0.6):
        return ""
    if scene.position in ("top", "bottom"):
        return f"at the {scene.position}"
    return "in the center" if scene.position == "center" else f"on the {scene.position}"


def _background_words(scene: Scene, rng: np.random.Generator, keep: float) -> str:
    if scene.background is None or rng.random() >= keep:
        return ""
    form = rng.random()
    if form < 0.7:
        return f"on a {scene.background} background"
    if form < 0.8:
        return f"with a {scene.background} background"
    if form < 0.9:
        return f"on the {scene.background} background"
    return f"in front of a {scene.background} background"


def _begin(scene: Scene, phrase: str, rng: np.random.Generator) -> str:
    """Object phrase with what goes before it, and the style's word where it has one."""
    styled = scene.style != "plain" and rng.random() < 0.85
    noun = PICTURE_NOUNS[int(rng.integers(len(PICTURE_NOUNS)))] if rng.random() < 0.5 else "photo"
    if styled:
        style = "framed" if scene.style == "framed" else tint_phrase(scene, rng)
        form = rng.random()
        if form < 0.6:
            return f"{_article(style)} {noun} of {_article(phrase)}"
        if form < 0.8:
            return f"{_article(noun)} of {_article(phrase)} in the style of {_article(style)} photo"
        return f"{_article(noun)} of {_article(phrase)} in {style} style"
    form = rng.random()
    if form < 0.12:
        return phrase
    if form < 0.27:
        return _article(phrase)
    prefix = OBJECT_PREFIXES[int(rng.integers(len(OBJECT_PREFIXES)))]
    if prefix.endswith(" a") and rng.random() < 0.9:
        return f"{prefix[:-2]} {_article(phrase)}"
    return f"{prefix} {phrase}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of a scene: lower case, no full stop, within :data:`MAX_TOKENS` tokens."""
    form = rng.random()
    if scene.background is not None and form < 0.04:
        return f"{_article(scene.background)} background"
    if scene.style == "tinted" and form < 0.14:
        prefix = STYLE_PREFIXES[int(rng.integers(len(STYLE_PREFIXES)))]
        phrase = tint_phrase(scene, rng)
        words = f"{prefix} {_article(phrase)} photo" if rng.random() < 0.5 else f"{prefix} {phrase}"
        back = _background_words(scene, rng, 0.4)
        return f"{words} {back}" if back else words
    # A tint hides the colours beneath it, so their words are mostly left out.
    keep = 0.4 if scene.style == "tinted" else 0.78
    phrase = object_phrase(scene, rng, keep)
    back_keep = 0.75 if scene.style == "tinted" else 0.8
    if form > 0.95 and scene.background is not None and scene.style == "plain":
        return f"{_article(scene.background)} background with {_article(phrase)}"
    if form > 0.91 and scene.background is not None and scene.style == "plain":
        return f"{phrase}, {scene.background} background"
    parts = [_begin(scene, phrase, rng), _place_words(scene, rng)]
    parts.append(_background_words(scene, rng, back_keep))
    if parts[1] and parts[2] and rng.random() < 0.25:
        parts[1], parts[2] = parts[2], parts[1]
    return " ".join(part for part in parts if part)


ATTRIBUTES = (
    "shape",
    "hue",
    "second_hue",
    "background",
    "fill",
    "position",
    "style",
    "tint",
    "shade",
    "second_shade",
    "tint_shade",
)
"""What captions speak of; the targets of the text encoder's auxiliary heads."""
ATTRIBUTE_WORDS: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "hue": HUES,
    "second_hue": HUES,
    "background": HUES,
    "fill": FILLS,
    "position": tuple(POSITIONS),
    "style": STYLES,
    "tint": tuple(TINTS),
    "shade": SHADES,
    "second_shade": SHADES,
    "tint_shade": SHADES,
}


def spoken(text: str) -> dict[str, str | None]:
    """What a caption says of each attribute, by its words; ``None`` where it says nothing.

    >>> spoken("a striped red star on a blue background")["hue"]
    'red'
    """
    words = text.replace(",", " ").split()
    said: dict[str, str | None] = dict.fromkeys(ATTRIBUTES)
    if "background" in words:
        said["background"] = words[words.index("background") - 1]
        del words[words.index("background") - 1]
    colors = 0
    for index, word in enumerate(words):
        before, after = words[index - 1 : index], words[index + 1 : index + 2]
        shade = f"{before[0]} {word}" if before and before[0] in ISH.values() else None
        if word in SHAPES:
            said["shape"] = word
        elif word in HUES and after and after[0] in ("tinted", "stylized"):
            said["tint" if shade is None else "tint_shade"] = shade or word
        elif word in HUES:
            place = ("hue", "shade") if colors == 0 else ("second_hue", "second_shade")
            said[place[shade is not None]] = shade or word
            colors += 1
        elif word in FILLS:
            said["fill"] = word
        elif word in POSITIONS:
            said["position"] = word
        elif word in ("tinted", "stylized", "framed"):
            said["style"] = "framed" if word == "framed" else "tinted"
    return said


def prompt(shape: str, hue: str, background: str, number: int = 0) -> str:
    """An evaluation prompt in one of five phrasings, chosen by ``number``."""
    forms = (
        "a photo of a {h} {s} on a {b} background",
        "a picture of a {h} {s} on a {b} background",
        "a {h} {s} on a {b} background",
        "a close-up photo of the {h} {s} on a {b} background",
        "a rendering of a {h} {s} on a {b} background",
    )
    return forms[number % len(forms)].format(h=hue, s=shape, b=background)


def vocabulary() -> tuple[str, ...]:
    """Every word that captions and prompts can contain, sorted; ``close-up`` counts as two."""
    text = " ".join(
        [
            *(*OBJECT_PREFIXES, *STYLE_PREFIXES, *PICTURE_NOUNS, *SHAPES),
            *(*HUES, *ISH.values(), *FILLS, *POSITIONS),
        ]
    )
    more = (
        "a an and at background center framed front image in of on one shape solid style stylized "
        "the tinted tone tint two up with"
    )
    return tuple(sorted(set(f"{text} {more}".replace("-", " ").split())))


def zero_shot_prompts(attribute: str, number: int = 0) -> list[str]:
    """One prompt per word of an attribute, in one of five phrasings; for zero-shot scoring.

    Raises ``KeyError`` for an unknown attribute.
    """
    starts = ("a photo of a", "a picture of a", "a rendering of a", "a painting of a", "a")
    start = starts[number % len(starts)]
    other = "red" if number % 2 else "blue"

    def text(word: str) -> str:
        forms = {
            "shape": f"{start} {word}",
            "hue": f"{start} {word} shape",
            "second_hue": f"{start} {other} and {word} shape",
            "background": f"{start} shape on a {word} background",
            "fill": f"{start} {word} shape",
            "position": f"{start} shape at the {word}",
            "style": f"{start} shape",
            "tint": f"a {word} stylized photo of a shape",
        }
        if attribute == "position" and word in ("left", "right"):
            return f"{start} shape on the {word}"
        if attribute == "position" and word == "center":
            return f"{start} shape in the center"
        if attribute == "style" and word != "plain":
            kind = "framed" if word == "framed" else "stylized"
            noun = PICTURE_NOUNS[number % 5]
            return f"a {kind} {noun} of a shape"
        return forms[attribute]

    return [text(word) for word in ATTRIBUTE_WORDS[attribute]]


SCORED = ("shape", "hue", "background", "fill", "position", "style", "tint")
"""Attributes that the scoring CLIP must tell apart by words alone."""


def zero_shot_known(classes: NDArray[np.integer], attribute: str) -> NDArray[np.bool_]:
    """Which pictures one word of an attribute describes, from their ``[n, attributes]`` classes.

    Two-hued objects have no single hue, so they do not count for ``hue``.
    """
    known: NDArray[np.bool_] = classes[:, ATTRIBUTES.index(attribute)] >= 0
    if attribute == "hue":
        known = known & (classes[:, ATTRIBUTES.index("fill")] < 2)
    return known

"""Suites: versioned sets of prompts with roles, seeds and sampler settings.

A suite is one YAML file. Shipped ones lie in ``evals/suites``; a user's own is named by its path.

A prompt either has one ``{concept}`` slot or none. What fills the slot is the condition:

    token   the placeholder of the embedding
    class   the class noun (for a style: the words for that style)
    empty   nothing; the sentence is closed over the gap

A prompt without a slot reads the same under every condition. It is drawn as ``class``, with the
embedding loaded, and once more on the base alone (``base``), where nothing was loaded.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tireg.domain.concepts import KINDS, Kind
from tireg.domain.model import Document, Part, canonical_json, validate_document
from tireg.domain.resources import resource
from tireg.errors import SuiteError

Condition = Literal["token", "class", "empty"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
BASE = "base"
"""Drawn on the base without the embedding: what off-token leakage is measured against."""

Role = Literal["context", "background", "composition", "style", "neutral", "sibling", "bait"]
SLOT_ROLES = ("context", "background", "composition", "style")
"""Roles of prompts that ask for the concept."""
FREE_ROLES = ("neutral", "sibling", "bait")
"""Roles of prompts that do not: unrelated things, other things of the class, and words for what
stands around concepts in training pictures."""

SLOT = "{concept}"
MAX_BYTES = 1 << 20
MAX_PROMPTS = 1000

_IDENTIFIER = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_LIST = "tireg suites list"


class Prompt(Part):
    """One sentence, what it is for, and what it says besides the concept."""

    id: str = Field(pattern=_IDENTIFIER, description="Unique in its suite; never reused.")
    text: str = Field(min_length=1, max_length=300, description="With one {concept} slot or none.")
    role: Role
    context: str | None = Field(
        default=None, min_length=1, description="The words for everything but the concept."
    )
    background: tuple[str, ...] = Field(default=(), description="Backgrounds the text names.")
    objects: tuple[str, ...] = Field(default=(), description="Other things the text names.")
    empty: str | None = Field(
        default=None, description="The text with nothing in the slot, where the rule reads badly."
    )

    @property
    def has_slot(self) -> bool:
        """Whether the concept is asked for."""
        return SLOT in self.text

    @model_validator(mode="after")
    def _slot_fits_role(self) -> Prompt:
        for problem in slot_problems(self.text, self.role, empty=self.empty is not None):
            raise ValueError(f"prompt '{self.id}' {problem}")
        return self


def slot_problems(text: str, role: str, *, empty: bool = False) -> list[str]:
    """What is wrong with the slot of a prompt, as the ends of sentences about it.

    ``empty`` says whether the prompt has words of its own for nothing in the slot.
    """
    count = text.count(SLOT)
    found = {
        f"has {count} {SLOT} slots; one is the most": count > 1,
        f"has role {role} but no {SLOT} slot": count == 0 and role in SLOT_ROLES,
        f"has role {role}, which takes no {SLOT} slot": count == 1 and role in FREE_ROLES,
        f"has a brace that is not {SLOT}": re.search(r"[{}]", text.replace(SLOT, "")),
        f"has {SLOT} glued to a word; put a space between": re.search(
            r"\w\{concept\}|\{concept\}\w", text
        ),
        "has no slot, so 'empty' means nothing": count == 0 and empty,
    }
    return [words for words, wrong in found.items() if wrong]


class Benchmark(Part):
    """A data set on the Hub that is registered there as a benchmark, and asks these prompts."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", description="Its id.")
    revision: str | None = Field(default=None, description="Commit of the data set.")
    tasks: dict[str, str] = Field(min_length=1, description="Metric name to task id there.")


class Suite(Document):
    """A set of prompts and how to draw them; None means the base family's default."""

    format_version: Literal[1] = 1
    name: str = Field(pattern=_IDENTIFIER)
    version: int = Field(ge=1, description="Raised with every change of prompts or settings.")
    kind: Kind = Field(description="The kind of concept the sentences are written for.")
    title: str = Field(min_length=1)
    source: str = Field(min_length=1, description="Who wrote the prompts, and their licence.")
    seeds: tuple[int, ...] = Field(min_length=1, max_length=64)
    prompts: tuple[Prompt, ...] = Field(min_length=1, max_length=MAX_PROMPTS)
    size: int | None = Field(default=None, ge=8, le=4096, multiple_of=8, description="Pixels.")
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0, le=100)
    sampler: str | None = None
    background_words: tuple[str, ...] = Field(
        default=(), description="Backgrounds that no prompt names but training pictures may have."
    )
    object_words: tuple[str, ...] = Field(default=(), description="The same for things.")
    background_text: str = Field(default="{word}", description="How an encoder is asked for one.")
    object_text: str = Field(default="a photo of a {word}", description="The same for a thing.")
    benchmark: Benchmark | None = Field(
        default=None, description="Where scores on this suite may be reported on the Hub."
    )

    @field_validator("background_text", "object_text")
    @classmethod
    def _one_word_slot(cls, text: str) -> str:
        if text.count("{word}") != 1:
            raise ValueError("holds {word} exactly once")
        return text

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed occurs twice")
        if any(not 0 <= seed < 2**32 for seed in seeds):
            raise ValueError("a seed lies outside 0 to 4294967295")
        return seeds

    @model_validator(mode="after")
    def _prompts_differ(self) -> Suite:
        for field in ("id", "text"):
            seen: set[str] = set()
            for prompt in self.prompts:
                value = getattr(prompt, field)
                if value in seen:
                    raise ValueError(f"the prompt {field} '{value}' occurs twice")
                seen.add(value)
        return self

    def canonical(self) -> bytes:
        """What is drawn and measured, as JSON bytes: all but title, source and benchmark.

        Fields at their default are left out, so that a field added to tireg later does not
        change the hash of suites that do not use it.
        """
        told = {"title", "source", "benchmark"}
        data = self.model_dump(mode="json", exclude=told, exclude_defaults=True)
        return canonical_json({**data, "format_version": self.format_version})

    def vocabulary(self, of: Literal["background", "object"]) -> dict[str, str]:
        """Every background or thing that this suite knows, with the text to ask an encoder.

        Words of the prompts in their order, then the extra ones; leakage is measured in them.
        """
        named = [
            prompt.background if of == "background" else prompt.objects for prompt in self.prompts
        ]
        extra = self.background_words if of == "background" else self.object_words
        text = self.background_text if of == "background" else self.object_text
        words = dict.fromkeys(word for group in (*named, extra) for word in group)
        return {word: text.replace("{word}", word) for word in words}

    def with_role(self, *roles: str) -> tuple[Prompt, ...]:
        """The prompts of these roles, in the suite's order."""
        return tuple(prompt for prompt in self.prompts if prompt.role in roles)


def fill(prompt: Prompt, condition: Condition, word: str = "") -> str:
    """The sentence to draw.

    ``word`` is the token for ``token``, the class noun for ``class``, ignored for ``empty``. Under
    ``class``, "a" and "an" before the slot follow the noun's first letter; a token leaves them as
    written. Under ``empty`` the prompt's own ``empty`` text is used if it has one; else:

    1. a determiner right before the slot goes (a, an, the, one, this, my);
    2. then a linking word that would now lead nowhere goes too (of, in the style of, by, like,
       with, and), unless an ordinary word follows the slot;
    3. spaces are never doubled, and no comma is left at either end.

    "a photo of a {concept} on a green background" becomes "a photo on a green background". The
    result may be "" when the prompt is nothing but the slot.

    Raises SuiteError when ``word`` is empty but needed.
    """
    if not prompt.has_slot:
        return prompt.text
    if condition == "empty":
        return prompt.empty if prompt.empty is not None else _close_gap(prompt.text)
    if not word.strip():
        raise SuiteError(
            f"prompt '{prompt.id}' needs a word for the condition '{condition}'",
            hint="give the concept a class noun, such as --init cat",
        )
    text = prompt.text
    if condition == "class":
        article = "an" if word.strip()[0].lower() in "aeiou" else "a"
        pattern = r"\b([Aa])n? \{concept\}"
        text = re.sub(pattern, lambda m: f"{m[1]}{article[1:]} {SLOT}", text)
    return text.replace(SLOT, word.strip())


def conditions_for(prompt: Prompt, *, empty: bool = False) -> tuple[str, ...]:
    """How a prompt is drawn: its conditions, in a fixed order.

    With a slot ``token`` and ``class``, and ``empty`` if asked for. Without one ``class`` (the
    embedding loaded) and ``base`` (nothing loaded), the same words both times.
    """
    if not prompt.has_slot:
        return ("class", BASE)
    return CONDITIONS if empty else CONDITIONS[:2]


def suite_names() -> tuple[str, ...]:
    """Names of the shipped suites, sorted."""
    return tuple(sorted(path.stem for path in resource("evals", "suites").glob("*.yaml")))


def load_suite(name: str | Path) -> Suite:
    """A shipped suite by name, or one's own by its path (anything with a slash or ``.yaml``).

    Raises SuiteError when there is none, or the file is not a suite; SchemaTooNewError when it
    is written for a newer tireg.
    """
    return read_suite(suite_path(name))


def suite_path(name: str | Path) -> Path:
    """Where the suite lies that ``name`` means. SuiteError for a name that is none."""
    text = str(name)
    if isinstance(name, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        return Path(name).expanduser()
    if text not in suite_names():
        near = " (a file of your own is given by its path)" if Path(text).is_file() else ""
        raise SuiteError(
            f"there is no suite '{text}'; there are {', '.join(suite_names())}{near}", hint=_LIST
        )
    return resource("evals", "suites", f"{text}.yaml")


def read_suite(path: Path) -> Suite:
    """Read one suite file. Raises SuiteError with one sentence that names the file and field."""
    hint = f"tireg suites check {path}"
    data = read_plain(path)
    if isinstance(data, dict) and data.get("kind", KINDS[0]) not in KINDS:
        raise SuiteError(f"{path}: 'kind' is one of {', '.join(KINDS)}", hint=hint)
    try:
        return validate_document(Suite, data, name=str(path), failure=SuiteError)
    except SuiteError as error:
        raise SuiteError(error.message, hint=hint) from error


def read_plain(path: Path) -> Any:
    """What a suite file holds, as plain data, not checked. SuiteError if it is no YAML."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SuiteError(f"{path} is larger than 1 MiB, too large for a suite", hint=_LIST)
        raw = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SuiteError(f"there is no suite file {path}", hint=_LIST) from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not a text file in UTF-8", hint=_LIST) from error
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error.strerror}", hint=_LIST) from error
    return _parse(raw, str(path))


def _parse(raw: str, name: str) -> Any:
    """YAML as plain data: no tags, no aliases, no key twice."""
    import yaml

    class Loader(yaml.SafeLoader):
        """The safe loader, stricter: what it would pass over in silence is refused."""

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise SuiteError(f"{name} uses a YAML alias (*name), which suites may not")
            return super().compose_node(parent, index)

        def construct_mapping(
            self, node: yaml.MappingNode, deep: bool = False
        ) -> dict[Hashable, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in keys:
                if keys.count(key) > 1:
                    raise SuiteError(f"{name} has the key '{key}' twice in one place")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(raw, Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise SuiteError(f"{name} is not valid YAML{where}: {problem}", hint=_LIST) from error
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"{name} is not valid YAML: {error}", hint=_LIST) from error


_DETERMINER = re.compile(r"(?:^|\s)(?:an?|the|one|this|my)$", re.IGNORECASE)
_LINK = re.compile(r"(?:^|,?\s)(?:in the style of|of|by|like|with|and)$", re.IGNORECASE)
_FOLLOWS_ON = re.compile(
    r"^(?:$|[,.;:]|(?:on|in|at|with|under|over|beside|near|next|behind|above|below|inside|by|"
    r"against|among|around|between|from|to|and|as|made|\w+ing)\b)",
    re.IGNORECASE,
)


def _close_gap(text: str) -> str:
    left, right = (part.strip() for part in text.split(SLOT))
    left = _DETERMINER.sub("", left).rstrip()
    if _FOLLOWS_ON.match(right):
        left = _LINK.sub("", left).rstrip()
    joined = f"{left} {right}" if right[:1] not in (",", ".", ";", ":") else left + right
    return re.sub(r"\s+", " ", joined).strip(" ,;:")

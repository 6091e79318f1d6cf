"""YAML from outside as plain data: no tags, no aliases, no key twice, nothing executed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from tireg.errors import InputError, TiregError

MAX_DEPTH = 32
HINT = "key: value, one a line, indented by spaces; text with : or # in quotes"


def parse_yaml(text: str, name: str, *, failure: type[TiregError] = InputError) -> Any:
    """The plain data of one YAML document; ``name`` is what messages call it.

    Raises ``failure`` with one sentence for text that is not YAML, for an alias (a few of them
    can stand for gigabytes, or for a list inside itself), for a key given twice and for more
    than 32 levels.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """The safe loader, stricter: what it would pass over in silence is refused."""

        depth = 0

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise failure(f"{name} uses a YAML alias (*name), which is not allowed here")
            if self.depth >= MAX_DEPTH:
                raise failure(f"{name} is nested too deeply, over {MAX_DEPTH} levels")
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(
            self, node: yaml.MappingNode, deep: bool = False
        ) -> dict[Hashable, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise failure(f"{name} has the key '{key.value}' twice in one place")
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise failure(f"{name} is not valid YAML{where}: {problem}", hint=HINT) from error
    except (ValueError, OverflowError) as error:
        raise failure(f"{name} is not valid YAML: {error}") from error

from __future__ import annotations

from pathlib import Path

from tests.store import make
from tireg.store.registry import Registry
from tireg.store.scored import scored


def test_versions_with_a_run_and_out_of_the_trash(home: Path) -> None:
    with Registry.open(home) as registry:
        for name in ("b", "a", "bare"):
            record, objects = make.record(name)
            registry.add(record, objects)
            if name != "bare":
                registry.add_run(*make.run(record))
        assert [found.ref for found in scored(registry.store)] == ["a@1", "b@1"]
        registry.remove("a")
        assert [found.ref for found in scored(registry.store)] == ["b@1"]

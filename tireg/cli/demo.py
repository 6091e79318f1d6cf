"""``tireg demo``: the whole job once, on the built-in base."""

from __future__ import annotations

import click

from tireg.cli.console import out
from tireg.cli.evaluate import print_scores
from tireg.cli.listening import listening


@click.command()
def demo() -> None:
    """Train one word from five pictures on the built-in base, score it, record it, show it."""
    from tireg.store.home import registry_home
    from tireg.workflows.demo import demo

    with listening() as listen:
        done = demo(registry_home(), listen)
    name = done.version.name
    verb = "learned" if done.trained else "was learned before"
    out.text(f"{name}@{done.version.version} {verb}: {done.version.record.token}")
    print_scores([score.model_dump() for score in done.run.scores])
    out.text(f"pictures learned from: {done.pictures}")
    out.text(f"contact sheet: {done.sheet}")
    out.hint(f"tireg show {name}")
    token = done.version.record.token
    out.hint(f'tireg generate "a photo of a {token} on a blue background" --with {name}')

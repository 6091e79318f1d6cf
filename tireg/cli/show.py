"""``tireg show``: all there is to know about one word."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.evaluate import print_scores


@click.command()
@click.argument("ref")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def show(ref: str, as_json: bool) -> None:
    """Show REF (NAME, NAME@3, an alias or a hash): record, scores, files."""
    from tireg.store.home import registry_home
    from tireg.workflows.views import show_embedding

    data = show_embedding(registry_home(), ref)
    if as_json:
        out.json(data)
        return
    out.pairs(_summary(data))
    if data["scores"]:
        suite = data["runs"][-1]["suite"]
        out.text(f"\nscores: suite {suite['name']} version {suite['version']}")
        print_scores(data["scores"])
    else:
        out.hint(f"tireg eval {data['name']}")
    out.text("\nfiles")
    out.table(data["files"], ["role", "name", "bytes", "path"])


def _summary(data: dict[str, Any]) -> dict[str, Any]:
    """The lines of the head: only what is known."""
    base = data["base_details"] or {}
    recipe = data["recipe"] or {}
    training = data["training"] or {}
    tensors = [
        f"{t['encoder']} {t['vectors']} x {t['width']} {t['dtype']}" for t in data["tensors"]
    ]
    curve = training.get("curve") or []
    lines = {
        "embedding": f"{data['name']}@{data['version']}",
        "token": data["token"],
        "kind": data["kind"],
        "class noun": data["class_noun"],
        "vectors": ", ".join(tensors),
        "base": " ".join(str(x) for x in (base.get("id"), base.get("revision")) if x),
        "family": base.get("family"),
        "license": data["license"],
        "learned from": _pictures(data["concept"]),
        "recipe": ", ".join(f"{k} {v}" for k, v in recipe.items() if k != "format_version"),
        "training": _training(training),
        "fixed loss": _ends(curve),
        "tags": ", ".join(data["tags"]),
        "aliases": ", ".join(data["aliases"]),
        "created": data["created"],
        "tensor hash": data["tensor_hash"],
        "record": data["record_sha256"],
    }
    return {name: value for name, value in lines.items() if value}


def _pictures(concept: dict[str, Any] | None) -> str:
    if not concept:
        return ""
    names = [p["name"] for p in concept["pictures"]]
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return f"{len(names)} pictures ({shown})"


def _training(training: dict[str, Any]) -> str:
    if not training:
        return ""
    return (
        f"{training['steps']} steps, {training['samples']} samples, {training['seconds']:.1f} s "
        f"on {training['device']} {training['dtype']}"
    )


def _ends(curve: list[dict[str, Any]]) -> str:
    values = [p["validation"] for p in curve if p["validation"] is not None]
    return f"{values[0]:.4f} at the start, {values[-1]:.4f} at the end" if values else ""

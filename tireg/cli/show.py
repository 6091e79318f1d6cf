"""``tireg show``: all there is to know about one word."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.blocks import show_pictures
from tireg.cli.console import out
from tireg.cli.evaluate import print_accuracy, print_scores
from tireg.errors import ConfigError, CorruptError, RefError

if TYPE_CHECKING:
    from tireg.domain.records import Training


@click.command()
@click.argument("ref")
@click.option("--curves", is_flag=True, help="Draw the curves of its training run.")
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path),
    help="With --curves: also as a picture, a PNG file.",
)
@click.option("--preview", is_flag=True, help="Show its pictures in the terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def show(ref: str, curves: bool, target: Path | None, preview: bool, as_json: bool) -> None:
    """Show REF (NAME, NAME@3, an alias or a hash): record, scores, files."""
    from tireg.store.home import registry_home
    from tireg.workflows.views import show_embedding

    if target is not None and not curves:
        raise click.UsageError("--out goes with --curves")
    data = show_embedding(registry_home(), ref)
    if curves:
        show_curves(data, target, as_json=as_json)
        return
    if as_json:
        out.json(data)
        return
    if preview:
        show_pictures(Path(f["path"]) for f in data["files"] if f["role"] == "preview")
        return
    out.pairs(_summary(data))
    if data["scores"]:
        suite = data["runs"][-1]["suite"]
        out.text(f"\nscores: suite {suite['name']} version {suite['version']}")
        print_scores(data["scores"])
        print_accuracy(data["accuracy"])
    else:
        out.hint(f"tireg eval {data['name']}")
    out.text("\nfiles")
    out.table(data["files"], ["role", "name", "bytes", "path"])


def show_curves(data: dict[str, Any], target: Path | None, *, as_json: bool = False) -> None:
    """Draw the run in ``data``, as ``show --json`` has it; RefError where there is none."""
    from tireg.report.curves import curve_lines

    training = _learned(data)
    if target is not None:
        _write_png(data, training, target)
    if as_json:
        run = training.model_dump(mode="json", exclude={"packages", "lineage"})
        head = {"name": data["name"], "version": data["version"], "token": data["token"]}
        out.json(head | run | {"out": target})
        return
    out.text(f"{data['name']}@{data['version']}  {data['token']}\n")
    columns = shutil.get_terminal_size().columns
    for line in curve_lines(training, width=columns, braille=_has_braille()):
        out.text(line)
    if target is not None:
        out.note(f"written: {target}")


def _learned(data: dict[str, Any]) -> Training:
    from pydantic import ValidationError

    from tireg.domain.records import Training

    ref, found = f"{data['name']}@{data['version']}", data["training"]
    if found and found["curve"]:
        try:
            return Training.model_validate(found)
        except ValidationError as error:
            raise CorruptError(
                f"the curve of '{ref}' has a form that is not known", hint="a newer tireg reads it"
            ) from error
    how = {
        "imported": "it was imported, not trained here",
        "pulled": "it was pulled without one",
        "trained": "its record keeps none",
    }.get(data["source"]["how"], "it was not trained")
    raise RefError(f"'{ref}' has no curve: {how}", hint=f"tireg show {ref}")


def _write_png(data: dict[str, Any], training: Training, target: Path) -> None:
    from tireg.report.curves import curves_png

    if target.suffix.lower() != ".png" or target.is_dir():
        raise ConfigError(f"'{target}' is not a name for a PNG file", hint="--out curves.png")
    base = f" on {data['base']}" if data["base"] else ""
    picture = curves_png(training, f"{data['name']}@{data['version']}  {data['token']}{base}")
    try:
        target.write_bytes(picture)
    except OSError as error:
        raise ConfigError(
            f"'{target}' cannot be written: {(error.strerror or str(error)).lower()}",
            hint="--out PATH",
        ) from error


def _has_braille() -> bool:
    """Whether what is printed to can show the characters that curves are drawn with."""
    try:
        "⣿│┊±".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _summary(data: dict[str, Any]) -> dict[str, Any]:
    """The lines of the head: only what is known."""
    base = data["base_details"] or {}
    training = data["training"] or {}
    tensors = [
        f"{t['encoder']} {t['vectors']} x {t['width']} {t['dtype']}" for t in data["tensors"]
    ]
    curve = training.get("curve") or []
    lines = {
        "embedding": f"{data['name']}@{data['version']}",
        "token": data["token"] + (" (for the negative prompt)" if data["negative"] else ""),
        "kind": data["kind"],
        "class noun": data["class_noun"],
        "vectors": ", ".join(tensors),
        "base": " ".join(str(x) for x in (base.get("id"), base.get("revision")) if x),
        "family": base.get("family"),
        "license": data["license"],
        "learned from": _pictures(data["concept"]),
        "recipe": _recipe(data["recipe"]),
        "training": _training(training),
        "fixed loss": _ends(curve),
        "tags": ", ".join(data["tags"]),
        "aliases": ", ".join(data["aliases"]),
        "created": data["created"],
        "tensor hash": data["tensor_hash"],
        "record": data["record_sha256"],
    }
    return {name: value for name, value in lines.items() if value}


def _recipe(found: dict[str, Any] | None) -> str:
    """The method and the knobs that are not at their defaults; --json has them all."""
    from tireg.domain.recipe_defaults import RECIPE_DEFAULTS as usual

    if not found:
        return ""
    other = [f"{k} {v}" for k, v in found.items() if k not in usual or usual[k] != v]
    other = [one for one in other if not one.startswith("method ")]
    return f"{found.get('method', 'classic')}; " + (", ".join(other) or "all at the defaults")


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

"""The model card: what the word is, how to use it, what it was learned from, how good it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tireg.domain.families import find_family
from tireg.domain.records import Record
from tireg.domain.score_forms import latest_runs, model_index
from tireg.domain.scores import Run, Score
from tireg.hub.cardtext import block, code, literal, table, text
from tireg.hub.layout import VersionRow
from tireg.hub.tree import REPO_ID

# Licences the Hub knows by these ids; any other is published as "other" with its name.
LICENSES = frozenset(
    "apache-2.0 mit openrail openrail++ bigscience-openrail-m creativeml-openrail-m "
    "bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause "
    "bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 "
    "cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 "
    "etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc "
    "lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail-m osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib "
    "pddl lgpl-lr deepfloyd-if-license unknown other".split()
)
NOTES = 4000
SHORT = 12  # rows up to which a list of pictures is shown open
PURPOSES = {
    "README.md": "this card",
    "tireg.json": "the record: everything known about the current version",
    "versions.json": "which versions are here, and which files tireg wrote",
    "learned_embeds": "the vectors for diffusers",
    "webui/": "the vectors for A1111, Forge and kohya",
    "comfyui/": "the vectors for ComfyUI",
    "invokeai/": "the vectors for InvokeAI",
    "previews/": "a picture drawn with the word",
    ".eval_results/": "scores on a benchmark of the Hub, for its leaderboard",
    "pictures/": "a picture it was learned from",
}


@dataclass(frozen=True)
class Shown:
    """What a card speaks of. ``files`` are paths below ``folder`` with their sizes."""

    repo: str
    folder: str
    name: str
    record: Record
    runs: Sequence[Run]
    license: str
    files: Mapping[str, int]
    previews: Sequence[tuple[str, str]]
    versions: Sequence[VersionRow]


def metadata(shown: Shown) -> dict[str, Any]:
    """The YAML head, as the Hub and its pages read it."""
    record, base = shown.record, shown.record.base
    family = base.family if base else next(iter(record.families), None)
    known = shown.license in LICENSES
    data: dict[str, Any] = {"license": shown.license if known else "other"}
    if not known:
        data["license_name"] = shown.license
    if base is not None and REPO_ID.fullmatch(base.id):
        data["base_model"] = base.id
        data["base_model_relation"] = "adapter"
    data["library_name"] = "diffusers"
    data["pipeline_tag"] = "text-to-image"
    data["instance_prompt"] = record.token
    tags = ["textual_inversion", "tireg", "text-to-image", "diffusers"]
    tags += {
        "sd1": ["stable-diffusion", "stable-diffusion-diffusers"],
        "sd2": ["stable-diffusion", "stable-diffusion-diffusers"],
        "sdxl": ["stable-diffusion-xl", "stable-diffusion-xl-diffusers"],
        "flux1": ["flux"],
    }.get(family or "", [])
    tags += [f"tireg-{record.kind}"] if record.kind else []
    tags += [f"tireg-family-{family}"] if family else []
    tags += ["tireg-negative"] if record.negative else []
    data["tags"] = tags
    if shown.previews:
        data["widget"] = [
            {"text": prompt or record.token, "output": {"url": path}}
            for path, prompt in shown.previews
        ]
    if index := model_index(shown.name, shown.runs):
        data["model-index"] = index
    return data


def sections(shown: Shown) -> dict[str, str]:
    """The sections of the card in their order."""
    found = {
        "about": _about(shown),
        "use": _use(shown),
        "compatibility": _compatibility(shown.record),
        "training": _training(shown.record),
        "scores": _scores(shown),
        "versions": _versions(shown),
        "files": _files(shown),
    }
    return {name: words for name, words in found.items() if words}


def _about(shown: Shown) -> str:
    record = shown.record
    article = "an" if record.kind == "object" else "a"
    of = f" of {article} {record.kind}" if record.kind else ""
    what = f"A textual-inversion embedding{of}"
    noun = f" ({text(record.class_noun)})" if record.class_noun else ""
    where = (
        "the negative prompt: what it stands for is kept away" if record.negative else "a prompt"
    )
    lines = [f"{what}{noun}. Type {code(record.token)} in {where}."]
    notes = re.split(r"\n\s*\n", record.notes.strip()[:NOTES])
    lines += [text(part, NOTES) for part in notes if part.strip()]
    if record.author:
        lines.append(f"Made by {text(record.author)}.")
    pictures = [
        f"![{text(prompt, 120)}]({path})" for path, prompt in shown.previews if path.isascii()
    ]
    return "\n\n".join([*lines, *([" ".join(pictures)] if pictures else [])])


def _use(shown: Shown) -> str:
    record = shown.record
    base = record.base
    family = find_family(base.family if base else next(iter(record.families), ""))
    parts = ["## How to use it"]
    where = shown.repo + (f" --folder {shown.folder}" if shown.folder else "")
    parts.append("With tireg:\n\n" + block("sh", f"tireg pull {where}"))
    names = [path for path in shown.files if path.startswith("learned_embeds")]
    if names and family is not None and family.diffusers_loads:
        parts.append("With diffusers:\n\n" + block("python", _diffusers(shown, family, names)))
    tools = [
        (
            "webui",
            "A1111 and Forge",
            "put it into <code>embeddings/</code>, then type its file name",
        ),
        ("comfyui", "ComfyUI", "put it into <code>models/embeddings/</code>, then type"),
        ("invokeai", "InvokeAI", "add it in the model manager, then type"),
    ]
    for folder, tool, how in tools:
        path = next((p for p in shown.files if p.startswith(f"{folder}/")), None)
        if path is None:
            continue
        stem = path.rpartition("/")[2].rpartition(".")[0]
        typed = {"comfyui": f"embedding:{stem}", "invokeai": f"<{stem}>"}.get(folder, stem)
        parts.append(f"{tool}: take {code(path)}, {how}: {code(typed)}.")
    return "\n\n".join(parts)


def _diffusers(shown: Shown, family: Any, names: list[str]) -> str:
    record = shown.record
    base = record.base.id if record.base and REPO_ID.fullmatch(record.base.id) else "BASE"
    inside = f", subfolder={literal(shown.folder)}" if shown.folder else ""
    lines = [f"from diffusers import {family.pipeline}", ""]
    if base == "BASE":
        lines.append(f"# BASE stands for a checkpoint of the family {family.title}.")
    lines.append(f"pipe = {family.pipeline}.from_pretrained({literal(base)})")
    if len(names) == 1:
        lines.append(f"pipe.load_textual_inversion({literal(shown.repo)}{inside})")
    for name in sorted(names) if len(names) > 1 else ():
        number = name.removeprefix("learned_embeds").removesuffix(".safetensors")
        lines.append(
            f"pipe.load_textual_inversion({literal(shown.repo)}{inside},"
            f" weight_name={literal(name)},\n"
            f"    text_encoder=pipe.text_encoder{number}, tokenizer=pipe.tokenizer{number})"
        )
    asked = literal(_prompt(record))
    if record.negative:
        asked = f"{literal('a photo of a garden')}, negative_prompt={literal(record.token)}"
    lines.append(f"image = pipe({asked}).images[0]")
    return "\n".join(lines)


def _prompt(record: Record) -> str:
    if record.concept is not None:
        return record.concept.templates[0].replace("{token}", record.token)
    return f"a picture of {record.token}"


def _compatibility(record: Record) -> str:
    parts = ["## What it runs on"]
    base = record.base
    if base is None:
        families = ", ".join(map(_family, record.families)) or "unknown"
        parts.append(f"The base it was learned on is not known. Possible families: {families}.")
    else:
        at = f" at revision {code(base.revision)}" if base.revision else ""
        parts.append(f"Learned on {code(base.id)}{at}, of the family {_family(base.family)}.")
    prints = {e.key: e for e in base.fingerprint.encoders} if base and base.fingerprint else {}
    rows = []
    for tensor in record.tensors:
        encoder = prints.get(tensor.encoder)
        rows.append(
            [
                code(tensor.encoder),
                str(tensor.vectors),
                str(tensor.width),
                code(encoder.table_sha256[:12]) if encoder else "–",
                code(encoder.layers_sha256[:12]) if encoder else "–",
                code(encoder.tokenizer_sha256[:12]) if encoder else "–",
            ]
        )
    heads = ["text encoder", "vectors", "width", "token table", "layers", "tokenizer"]
    parts.append(table(heads, rows))
    if prints:
        parts.append(
            "A base whose text encoder has these hashes gives the word exactly the same meaning; "
            f"{code('tireg compat')} compares."
        )
    return "\n\n".join(parts)


def _family(name: str) -> str:
    """A family by its title, and by the short name that tireg's commands take."""
    family = find_family(name)
    return text(name) if family is None else f"{text(family.title)} ({code(name)})"


def _training(record: Record) -> str:
    source = record.source
    if record.recipe is None and record.concept is None:
        where = f" from {code(source.where)}" if source.where else ""
        return f"## Where it comes from\n\nIt was {text(source.how)}{where}."
    parts = ["## How it was learned"]
    if record.recipe is not None:
        knobs = record.recipe.model_dump(mode="json", exclude={"format_version"})
        rows = [
            [code(key), code(_plain(value))] for key, value in sorted(knobs.items()) if value != ""
        ]
        parts.append(table(["knob", "value"], rows))
    if record.training is not None:
        t = record.training
        parts.append(
            f"{t.steps} steps, {t.samples} samples, {t.seconds:.0f} seconds on {text(t.device)} in "
            f"{text(t.dtype)}."
        )
    if record.concept is not None:
        pictures = record.concept.pictures
        parts.append(f"Learned from {len(pictures)} pictures, known by their hashes:")
        rows = [
            [str(n), f"{p.width} × {p.height}", code(p.sha256)] for n, p in enumerate(pictures, 1)
        ]
        shown = table(["picture", "pixels", "sha256"], rows)
        if len(rows) > SHORT:
            shown = f"<details><summary>the hashes</summary>\n\n{shown}\n\n</details>"
        parts.append(shown)
    return "\n\n".join(parts)


def _plain(value: object) -> str:
    """A knob's value as the recipe file has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scores(shown: Shown) -> str:
    runs = latest_runs(shown.runs)
    if not runs:
        return "## Scores\n\nNot scored yet."
    parts = ["## Scores"]
    for run in runs:
        suite = run.spec.suite
        parts.append(
            f"Suite {text(suite.name)} version {suite.version} on {code(run.spec.base)}, "
            f"{len(run.spec.seeds)} seeds, sampler {text(run.spec.sampling.sampler)}. Each score "
            "with its interval over prompts, beside the paired baseline."
        )
        rows = [_score_row(score) for score in run.scores]
        heads = ["metric", "value", "interval", "baseline", "baseline is", "better", "prompts"]
        parts.append(table(heads, rows))
    return "\n\n".join(parts)


def _score_row(score: Score) -> list[str]:
    if score.value is None:
        reason = f"unscored: {text(score.unscored or 'not known', 120)}"
        return [text(score.metric), reason, "–", "–", "–", text(score.direction), "–"]
    return [
        text(score.metric),
        f"{score.value:.3f}",
        f"{score.ci[0]:.3f} … {score.ci[1]:.3f} ({score.level:.0%})" if score.ci else "–",
        "–" if score.baseline is None else f"{score.baseline:.3f}",
        text(score.baseline_name) or "–",
        text(score.direction),
        str(score.n_prompts),
    ]


def _versions(shown: Shown) -> str:
    current = shown.record.sha256
    rows = [
        [
            code(row.tag),
            text(row.created) + (" (current)" if row.record == current else ""),
            code(row.base) if row.base else "–",
            code(row.record[:16]),
        ]
        for row in shown.versions
    ]
    return "## Versions\n\n" + table(["tag", "made", "base", "record"], rows)


def _files(shown: Shown) -> str:
    rows: dict[str, list[str]] = {}
    inside: dict[str, list[str]] = {}
    for path in sorted(shown.files):
        head, _, rest = path.partition("/")
        if head == "versions":
            version, _, name = rest.partition("/")
            inside.setdefault(f"versions/{version}/", []).append(name)
            continue
        purpose = next((words for start, words in PURPOSES.items() if path.startswith(start)), "")
        rows[path] = [code(path), purpose]
    for path, names in inside.items():
        rows[path] = [code(path), f"one version whole: {', '.join(code(n) for n in names)}"]
    return "## Files\n\n" + table(["file", "what it is"], [rows[path] for path in sorted(rows)])


def listing(repo: str, folders: Mapping[str, str]) -> dict[str, str]:
    """The section of a shared repository's top README: its folders and their tokens."""
    rows = [[f"[{text(f)}]({f}/README.md)", code(folders[f])] for f in sorted(folders)]
    words = "## Embeddings\n\n" + table(["folder", "token"], rows)
    return {"embeddings": f"{words}\n\n{code(f'tireg pull {repo}')} fetches them all."}

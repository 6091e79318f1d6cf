"""The catalogue: every row is complete, agrees with diffusers, and is found by any name."""

from __future__ import annotations

import ast
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tireg.domain import catalogue, families
from tireg.domain.resources import resource
from tireg.domain.tensors import ENCODER_WIDTHS
from tireg.errors import BaseError

TABLE_D = (
    "ldm sd1 sd2 sdxl cascade sd3 flux1 chroma pixart flux2 flux2_klein_4b flux2_klein_9b zimage "
    "qwen_image sana lumina2 prx hidream wan auraflow hunyuan_video shapes"
).split()


def test_every_family_is_there() -> None:
    assert {row.id for row in families.families()} == set(TABLE_D)
    for row in families.families():
        path = resource("registry", "families", f"{row.id}.json")
        assert json.loads(path.read_text("utf-8"))["format_version"] == 1


def test_widths_are_those_of_the_encoder_vocabulary() -> None:
    for row in families.families():
        for encoder in row.encoders:
            assert encoder.width == ENCODER_WIDTHS[encoder.key], row.id


def test_no_fingerprint_and_no_name_twice() -> None:
    names: dict[str, str] = {}
    for row in families.families():
        for name in {catalogue.normal(n) for n in (row.id, row.title, row.modelspec, *row.aliases)}:
            assert names.setdefault(name, row.id) == row.id, name


def pipelines() -> dict[str, ast.ClassDef]:
    """Every pipeline class of diffusers, read from its sources: importing them takes a minute."""
    spec = find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    wanted = {row.pipeline for row in families.families()}
    found: dict[str, ast.ClassDef] = {}
    for path in (Path(spec.origin).parent / "pipelines").rglob("pipeline_*.py"):
        text = path.read_text("utf-8")
        if any(f"class {name}(" in text for name in wanted):
            nodes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
            found |= {node.name: node for node in nodes}
    return found


def test_rows_agree_with_diffusers() -> None:
    classes = pipelines()
    for row in families.families():
        node = classes[row.pipeline]
        bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
        assert ("TextualInversionLoaderMixin" in bases) == row.diffusers_loads, row.id
        (build,) = (f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
        components = {argument.arg for argument in [*build.args.args, *build.args.kwonlyargs]}
        assert row.denoiser in components, row.id
        for encoder in row.encoders:
            assert {encoder.component, encoder.tokenizer} <= components, row.id


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("SD 1.5", "sd1"), ("SD 2.1 768", "sd2"), ("Pony", "sdxl"), ("Illustrious", "sdxl"),
        ("SD 3.5 Large", "sd3"), ("Flux.1 D", "flux1"), ("Flux.2 D", "flux2"),
        ("ZImageTurbo", "zimage"), ("Qwen", "qwen_image"), ("sdxl", "sdxl"), ("shapes", "shapes"),
    ],
)  # fmt: skip
def test_labels_of_other_sites(name: str, wanted: str) -> None:
    assert families.family(name).id == wanted


@pytest.mark.parametrize(
    ("architecture", "wanted"),
    [
        ("stable-diffusion-v1/textual-inversion", "sd1"),
        ("stable-diffusion-v1/embedding", "sd1"),
        ("stable-diffusion-v2-768-v/textual-inversion", "sd2"),
        ("stable-diffusion-v2", "sd2"),
        ("stable-diffusion-xl-v1-base/textual-inversion", "sdxl"),
        ("stable-diffusion-3-medium/textual-inversion", "sd3"),
        ("stable-diffusion-v3.5/embedding", "sd3"),
        ("flux-1-dev", "flux1"),
        ("Flux.1-dev/embedding", "flux1"),
    ],
)
def test_architectures_of_other_tools(architecture: str, wanted: str) -> None:
    found = catalogue.row_of_architecture(architecture)
    assert found is not None
    assert found.id == wanted


def test_candidates() -> None:
    def ids(*keys: str) -> list[str]:
        return [row.id for row in catalogue.candidates(keys)]

    assert ids("clip_l") == ["sd1"]
    assert ids("clip_l", "clip_g") == ["sdxl"]
    assert ids("clip_g")[0] == "sdxl"
    assert ids("clip_l", "clip_l_out", "t5xxl") == ["flux1"]
    assert ids("clip_l", "clip_g", "t5xxl") == ["sd3"]
    assert ids("t5xxl", "bert") == []
    assert {row.id for row in catalogue.candidates_by_width([1280])} == {"sdxl", "cascade", "ldm"}
    assert catalogue.candidates_by_width([777]) == []


def test_light_rows_are_the_validated_ones() -> None:
    assert [row.id for row in catalogue.rows()] == [row.id for row in families.families()]
    for light, full in zip(catalogue.rows(), families.families(), strict=True):
        for name in ("title", "rank", "aliases", "modelspec", "resolution", "keys"):
            assert getattr(light, name) == getattr(full, name), full.id
        assert light.file_sets == tuple(map(frozenset, full.file_sets))
        for mine, theirs in zip(light.encoders, full.encoders, strict=True):
            assert (mine.key, mine.component, mine.width) == (
                theirs.key, theirs.component, theirs.width,
            )  # fmt: skip


def test_unknown_name() -> None:
    with pytest.raises(BaseError, match="no model family called 'sd99'"):
        families.family("sd99")
    assert families.find_family("") is None

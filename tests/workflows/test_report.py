"""Reports from a registry: what is shown, what is said of what is missing, where they go."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.report.reading import HOSTILE, Reading, read_safely
from tests.store import make
from tests.workflows.reported import a_score, report_on, usual_scores
from tireg.domain.concepts import Concept
from tireg.domain.recipes import Recipe
from tireg.domain.records import Source
from tireg.domain.scores import EncoderRef, Transfer
from tireg.domain.suites import load_suite
from tireg.errors import ConfigError, InputError, RefError, SuiteError
from tireg.report.pages import shown
from tireg.store.registry import Registry
from tireg.workflows.progress import Event, Notice
from tireg.workflows.report import ReportRequest, Written, report
from tireg.workflows.report_words import verdict_of

ASKED = [prompt.id for prompt in load_suite("shapes-quick").prompts if prompt.has_slot]


def written(home: Path, target: Path, *refs: str, **more: Any) -> tuple[Reading, Written]:
    """Make the page and take it apart."""
    done = report(ReportRequest(refs, target=target, **more), home=home)
    return read_safely(target.read_text(encoding="utf-8")), done


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def test_a_scored_word(home: Path, page: Path) -> None:
    told = report_on(home)
    read, done = written(home, page, "my-cat")
    assert done.headline == "It looks like its pictures and lets prompts count."
    assert done.runs == (told.run.run_id,)
    assert done.rendered.gone == done.rendered.left_out == 0
    for said in (
        "It goes 70% of the way from 'cat' to the pictures it learned from",
        "Not known: copies of its pictures (nobody looked)",
        "Prompts without the word give the same pictures, to the last pixel.",
        "Copies of the training pictures",
        "Real photographs, one to another 0.800",
        "The prompt alone",
        "a photo of a <my-cat> on a red background",
        "a photo of a cat on a red background",
        "worst 0.500 background-red",
        "best",
        "Two training pictures come as near to each other as",
        "equal to the last pixel",
        "tireg eval my-cat@1 --suite shapes-quick",
        "clip itself names right: hue 80.0%, shape 90.0% (on renders).",
        told.record.tensor_hash,
        told.run.run_id,
    ):
        assert said in read.text, said
    # Per prompt four seeds with and without; prompts without a word are shown once.
    rows = 2 * 4 * len(ASKED) + 4 * (len(told.suite.prompts) - len(ASKED))
    assert len(read.pictures) >= rows + 3 + 2 + 8


def test_the_pictures_are_those_of_the_seeds(home: Path, page: Path) -> None:
    report_on(home)
    read, _ = written(home, page, "my-cat")
    prompt = "a photo of a <my-cat> on a red background"
    assert [alt for alt in read.alts if alt.startswith(prompt)][-4:] == [
        f"{prompt}, seed {seed}" for seed in range(4)
    ]


def test_never_scored(home: Path, page: Path) -> None:
    record, objects = make.record("bare")
    with Registry.open(home) as registry:
        registry.add(record, objects)
    read, done = written(home, page, "bare")
    assert done.hints == ("tireg eval bare@1",)
    assert "Not scored yet." in read.text
    assert "tireg eval bare@1" in read.text
    assert "Scores" not in read.text


def test_imported_without_anything(home: Path, page: Path) -> None:
    record, objects = make.foreign("stray", "one", files=make.record("stray", "one")[0].files[:1])
    kept = {file.sha256 for file in record.files}
    with Registry.open(home) as registry:
        registry.add(record, {sha: data for sha, data in objects.items() if sha in kept})
    read, done = written(home, page, "stray")
    assert read.pictures == []
    assert "It was imported: how it was trained is not known here." in read.text
    assert "made on an unknown base" in read.text
    assert done.rendered.pictures == 0


def test_pictures_deleted(home: Path, page: Path) -> None:
    report_on(home)
    shutil.rmtree(home / "cache" / "pictures")
    read, _ = written(home, page, "my-cat")
    assert "The pictures of this run are not kept any more. tireg eval my-cat@1 draws" in read.text
    assert "the contact sheet of the evaluation: missing" in read.alts
    # The scores, and the training pictures in the registry, are there all the same.
    assert "It goes 70% of the way" in read.text
    assert len(read.pictures) == 3 + 2


def test_one_picture_deleted_and_one_changed(home: Path, page: Path) -> None:
    report_on(home)
    first, second = sorted((home / "cache" / "pictures").rglob("*.png"))[:2]
    first.unlink()
    second.write_bytes(sorted((home / "cache" / "pictures").rglob("*.png"))[-1].read_bytes())
    notices: list[str] = []

    def listen(event: Event | Notice) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    report(ReportRequest(["my-cat"], target=page), home=home, listen=listen)
    read = read_safely(page.read_text(encoding="utf-8"))
    assert any(alt.endswith(": missing") for alt in read.alts)
    assert notices
    assert "pictures are not kept any more" in notices[-1]
    assert "1 of " in read.text


def test_features_deleted(home: Path, page: Path) -> None:
    report_on(home)
    shutil.rmtree(home / "cache" / "features")
    read, _ = written(home, page, "my-cat")
    assert "so the nearest ones cannot be told. tireg eval my-cat@1 keeps them again" in read.text
    # The score itself still holds these three.
    assert "Real photographs, one to another 0.800" in read.text
    assert "<my-cat> 0.700" in read.text
    assert "Copies of the training pictures" not in read.text


def test_the_training_pictures_are_gone(home: Path, page: Path) -> None:
    told = report_on(home)
    with Registry.open(home) as registry:
        for sha in told.run.spec.references:
            registry.objects.path(sha).unlink()
    read, _ = written(home, page, "my-cat")
    assert "Learned from" not in read.text
    assert "are not kept here any more" in read.text


def test_a_copy_detector_looked(home: Path, page: Path) -> None:
    suite = load_suite("shapes-quick")
    scores = usual_scores(suite)[:-1]
    copied = a_score("copying", dict.fromkeys(ASKED, 0.5), direction="lower")
    report_on(home, scores=[*scores, copied])
    read, done = written(home, page, "my-cat")
    assert "clip is a copy detector: above 0.50 it takes a picture for a copy." in read.text
    assert done.verdicts[0].status == "bad"
    assert done.headline == "It looks like its pictures, but it copies training pictures."


def test_a_suite_of_ones_own(home: Path, page: Path, tmp_path: Path) -> None:
    from tireg.domain.suites import suite_path

    own = tmp_path / "own.yaml"
    own.write_text(suite_path("shapes-quick").read_text().replace("seeds: [0", "seeds: [7, 0"))
    mine = load_suite(own)
    told = {"suite": make.run(make.record()[0])[0].spec.suite.model_copy(
        update={"name": "own", "sha256": mine.sha256})}  # fmt: skip
    report_on(home, spec=told, keep=False)
    read, _ = written(home, page, "my-cat")
    assert "The suite 'own' of this run is a file that is not given here" in read.text
    read, _ = written(home, page, "my-cat", suite=str(own))
    assert "The pictures of this run are not kept any more" in read.text


def test_a_word_for_the_negative_prompt(home: Path, page: Path) -> None:
    quiet = [
        a_score("prompt_fidelity", dict.fromkeys(ASKED, 0.0)),
        a_score("concept_fidelity", None),
    ]
    report_on(home, scores=quiet, negative=True, spec={"negative": True})
    read, done = written(home, page, "my-cat")
    assert done.headline == "For the negative prompt: what it does to pictures is below."
    assert "with it in the negative prompt" in read.text
    assert "a photo of a cat on a red background; not: <my-cat>" in read.text
    assert "Nearest training pictures" not in read.text
    assert "Not known" not in read.text


def test_without_a_class_noun(home: Path, page: Path) -> None:
    report_on(home, class_noun=None, kind="style")
    read, done = written(home, page, "my-cat")
    assert "without it" in read.text
    assert "a photo on a red background" in read.text
    assert "from the prompt without it to the pictures it learned from" in read.text
    assert done.rendered.gone == 0


def test_another_base(home: Path, page: Path) -> None:
    told = report_on(home)
    away = told.run.model_copy(
        update={
            "run_id": make.sha("away"),
            "spec": told.run.spec.model_copy(update={"base": "other/base", "home": make.sha("h")}),
            "verdict": "near",
            "verdict_reason": "it reads words nearly alike",
            "transfer": (Transfer(metric="concept_fidelity", encoder="clip", home=0.7, away=0.35,
                                  share=0.5, ci=(0.4, 0.6), n_prompts=9),),
            "created": "2026-09-01T00:00:00Z",
        }
    )  # fmt: skip
    with Registry.open(home) as registry:
        registry.add_run(away, {})
    read, done = written(home, page, "my-cat")
    assert done.runs == (told.run.run_id,), "its own base comes first, though the other is newer"
    assert "on other/base, run" in read.text
    read, done = written(home, page, "my-cat", base="other/base")
    assert done.runs == (away.run_id,)
    assert "other/base is not the base it was made on: near, it reads words nearly alike." in (
        read.text
    )
    assert "50%" in read.text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_records(home: Path, page: Path, text: str) -> None:
    report_on(
        home,
        token=text,
        class_noun=text,
        author=text,
        license=text,
        notes=text,
        tags=(text,),
        recipe=Recipe(init=text),
        concept=Concept(kind="object", class_noun="cat", pictures=(), templates=("a {token}",)),
        base=make.base(text),
        source=Source(how="pulled", where=text, revision=text, dialect=text),
        spec={
            "token": text,
            "class_noun": text,
            "base": text,
            "encoders": (EncoderRef(name=text, sha256=make.sha("clip")),),
        },
        scores=[
            *usual_scores(load_suite("shapes-quick")),
            a_score(text, dict.fromkeys([text, *ASKED], 0.2), baseline_name=text, encoder=text),
            a_score(f"not {text}", None, unscored=text),
        ],
    )
    read, _ = written(home, page, "my-cat")
    assert read.text.count(shown(text)) > 10
    lost = make.run(make.record()[0])[0].spec.suite.model_copy(update={"name": text})
    other = report_on(home, "other", token=text, spec={"suite": lost}, keep=False)
    read, _ = written(home, page, "other")
    assert f"The suite '{shown(text)}' of this run" in read.text
    read, _ = written(home, page, "my-cat", other.record.name)
    assert shown(text) in read.text


def test_numbers_that_are_none(home: Path, page: Path) -> None:
    odd = a_score("concept_fidelity", dict.fromkeys(ASKED, 1e300), direction="target")
    one = a_score("prompt_fidelity", {ASKED[0]: -0.1})
    report_on(home, scores=[odd, one])
    read, _ = written(home, page, "my-cat")
    assert "nan" not in read.text.lower().split()
    assert "one prompt" in read.text or "without interval" in read.text


def test_a_comparison(home: Path, page: Path) -> None:
    suite = load_suite("shapes-quick")
    for n, name in enumerate(("one", "two", "three")):
        report_on(home, name, scores=usual_scores(suite, lift=0.2 * n), recipe=Recipe(steps=50 + n))
    read, done = written(home, page, "one", "two", "three")
    assert done.refs == ("one@1", "two@1", "three@1")
    for said in (
        "Comparison of 3 words", "one@1 against three@1", "two@1 against three@1",
        "steps 50 51 52", "a photo of a <one> on a red background",
        "a photo of a <three> on a red background", "with cat",
        "not over the 3 pairs",
    ):  # fmt: skip
        assert said in read.text, said
    assert len(done.as_json()["words"]) == 3


def test_a_comparison_says_who_is_better(home: Path, page: Path) -> None:
    likeness = [0.01 * (n % 5) for n in range(len(ASKED))]
    for name, lift in (("poor", 0.0), ("good", 0.3)):
        values = {
            p: v + lift + 0.001 * n for n, (p, v) in enumerate(zip(ASKED, likeness, strict=True))
        }
        report_on(home, name, scores=[a_score("prompt_fidelity", values)])
    read, done = written(home, page, "poor", "good")
    assert done.headline.startswith("good@1 follows prompts better by 0.3")
    assert "good@1 follows prompts better by 0.3" in read.text


def test_a_comparison_of_what_was_not_asked_alike(home: Path, page: Path) -> None:
    report_on(home, "one")
    record, objects = make.record("two")
    with Registry.open(home) as registry:
        registry.add(record, objects)
    read, done = written(home, page, "one", "two")
    assert done.headline == "They were not asked alike, so nothing says which is better."
    assert "Two@1 was not scored." in read.text or "two@1 was not scored" in read.text
    assert "tireg eval two@1 --suite shapes-quick" in read.text
    assert "Every prompt" not in read.text


@pytest.mark.parametrize(
    ("refs", "more", "error", "message"),
    [
        (["my-cta"], {}, RefError, "my-cta"),
        (["my-cat", "my-cat@1"], {}, InputError, "same version"),
        (["my-cat"], {"suite": "nothing"}, SuiteError, "no suite 'nothing'"),
        (["my-cat"], {"suite": "object"}, InputError, "was not scored there"),
        (["my-cat"], {"base": "other"}, InputError, "was not scored there"),
        ([f"w{n}" for n in range(9)], {}, InputError, "too many"),
    ],
)
def test_wrong_input(
    home: Path, page: Path, refs: list[str], more: dict[str, Any], error: type[Exception],
    message: str,
) -> None:  # fmt: skip
    report_on(home)
    with pytest.raises(error, match=message):
        report(ReportRequest(refs, target=page, **more), home=home)
    assert not page.exists()


def test_where_it_may_go(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_on(home)
    folder, foreign = tmp_path / "out", tmp_path / "mine.html"
    folder.mkdir()
    foreign.write_text("<!doctype html>mine")
    for target, message in (
        (folder, "is a folder"), (foreign, "no report of tireg"),
        (tmp_path / "page.txt", "not a name for a web page"),
        (tmp_path / "no" / "page.html", "there is no folder"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            report(ReportRequest(["my-cat"], target=target), home=home)
    assert foreign.read_text() == "<!doctype html>mine"
    monkeypatch.chdir(folder)
    done = report(ReportRequest(["my-cat"]), home=home)
    assert done.path == Path("my-cat-1-report.html")
    again = report(ReportRequest(["my-cat"]), home=home)
    assert again.path.stat().st_size == len(again.rendered.html.encode())
    assert [path.name for path in folder.iterdir()] == ["my-cat-1-report.html"]
    report_on(home, "猫" * 90)
    assert report(ReportRequest(["猫" * 90]), home=home).path.is_file()


def test_the_verdict_in_words() -> None:
    suite = load_suite("shapes-quick")
    record, _ = make.record()
    run, _ = make.run(record)

    def said(*scores: Any) -> tuple[str, str]:
        found = verdict_of(run.model_copy(update={"scores": scores}))
        return found.status, found.headline

    def likeness(value: float, spread: float = 0.05) -> Any:
        values = {p: value + spread * (n % 3 - 1) for n, p in enumerate(ASKED)}
        return a_score("concept_fidelity", values, direction="target")

    assert said(likeness(0.8)) == ("good", "It looks like its pictures.")
    assert said(likeness(0.35)) == ("warn", "It goes a part of the way to its pictures.")
    assert said(likeness(0.1)) == ("warn", "It goes little of the way to its pictures.")
    assert said(likeness(-0.2))[0] == "bad"
    assert said(likeness(0.1, 2.0)) == (
        "warn", "It may be no more like its pictures than the class noun.",
    )  # fmt: skip
    assert said(likeness(1.6))[1] == "It may be too much like its pictures."
    assert said()[1] == "How like its pictures it is cannot be known."
    drowns = a_score("semantic_collapse", dict.fromkeys(ASKED, 0.6), direction="lower")
    deaf = a_score("prompt_fidelity", {p: -0.2 + 0.01 * (n % 3) for n, p in enumerate(ASKED)})
    status, headline = said(likeness(0.8), deaf, drowns)
    assert status == "bad"
    assert headline.endswith("but it follows prompts less and it drowns the rest of a prompt.")
    unsure = a_score("prompt_fidelity", {p: 0.3 * (n % 3 - 1) for n, p in enumerate(ASKED)})
    assert said(likeness(0.8), unsure)[1] == "It looks like its pictures; see the doubts below."
    quiet = usual_scores(suite)
    leaks = a_score("off_token_leakage", {p: 0.1 + 0.01 * n for n, p in enumerate(ASKED)})
    assert said(quiet[0], leaks)[1].endswith("but it shows where it was not asked for.")

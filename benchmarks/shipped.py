"""Train and score the embeddings of registry/embeddings, and write them there.

    python -m benchmarks.shipped [NAME …]

Each folder gets record.json, learned_embeds.safetensors, previews, and scores/RUN.json. Takes
some minutes per embedding on two cores.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tireg.domain.concepts import Kind
from tireg.domain.recipes import Recipe
from tireg.shapes.concepts import concept
from tireg.shapes.world import render_many
from tireg.store.registry import Registry
from tireg.workflows.evaluate import EvalRequest, evaluate
from tireg.workflows.making import png_bytes
from tireg.workflows.progress import Event, Notice
from tireg.workflows.train import TrainRequest, train

FOLDER = Path(__file__).resolve().parent.parent / "registry" / "embeddings"
KEPT_ROLES = ("embedding", "preview")


@dataclass(frozen=True)
class Shipped:
    """One embedding to make: which concept, by which recipe.

    ``background`` takes only pictures on that background, which is how one overfits.
    """

    concept: str
    kind: Kind
    recipe: Recipe
    background: str | None = None
    notes: str = ""


PLAN = {
    "lime-star": Shipped("lime-star", "object", Recipe(init="star", batch=8)),
    "orange-tint": Shipped("orange-tint", "style", Recipe(init="stylized", batch=8)),
    "teal-circle-4": Shipped("teal-circle", "object", Recipe(init="circle", vectors=4, batch=8)),
    "lime-star-overfitted": Shipped(
        "lime-star",
        "object",
        Recipe(
            init="star",
            vectors=8,
            steps=1500,
            batch=8,
            learning_rate=0.6,
            schedule="constant",
            average_last=0.0,
        ),
        background="purple",
    ),
}


def write_pictures(plan: Shipped, folder: Path) -> None:
    """Five training pictures as PNG files."""
    taught = concept(plan.concept)
    scenes = taught.scenes(5)
    if plan.background is not None:
        scenes = [s for s in taught.scenes(200) if s.background == plan.background][:5]
    folder.mkdir()
    for number, picture in enumerate(render_many(scenes), 1):
        (folder / f"{number}.png").write_bytes(png_bytes(picture))


def make(name: str, plan: Shipped) -> None:
    """Train, score and write one embedding."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        pictures = Path(temporary) / "pictures"
        write_pictures(plan, pictures)
        request = TrainRequest([pictures], "shapes", name, f"<{name}>", plan.kind, plan.recipe)
        version = train(request, home=home, listen=show)
        run = evaluate(EvalRequest(ref=name), home=home, listen=show).run
        target = FOLDER / name
        shutil.rmtree(target, ignore_errors=True)
        (target / "scores").mkdir(parents=True)
        write_json(target / "record.json", version.record.model_dump(mode="json"))
        write_json(target / "scores" / f"{run.run_id[:16]}.json", run.model_dump(mode="json"))
        with Registry.open(home) as registry:
            for file in version.record.files:
                if file.role in KEPT_ROLES:
                    (target / file.name).write_bytes(registry.objects.read(file.sha256))
        for score in run.scores:
            if score.value is not None:
                print(f"  {score.metric:32} {score.value:8.3f}  {score.ci}")


def write_json(path: Path, data: object) -> None:
    """Indented JSON with sorted keys and a line end."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def show(event: Event | Notice) -> None:
    """One line per finished task."""
    if isinstance(event, Notice):
        print(f"  {event.text}")
    elif event.done == event.total:
        print(f"  {event.task} {event.note}", flush=True)


def main() -> None:
    """Make the embeddings named on the command line, or all."""
    for name in sys.argv[1:] or PLAN:
        print(name, flush=True)
        make(name, PLAN[name])


if __name__ == "__main__":
    main()

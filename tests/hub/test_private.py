"""What stays on this machine when a word is published."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from tests.hub.words import files, keep, png
from tests.hubserver import HubServer
from tests.store import make
from tireg.workflows.publish import PublishRequest, publish
from tireg.workflows.pull import pull

REPO = "alice/my-cat"


def test_the_training_pictures_stay_here(hub: HubServer, home: Path) -> None:
    version = keep(home, pictures=True, scored=True)
    secret = next(f.sha256 for f in version.record.files if f.role == "picture")
    publish(PublishRequest("my-cat", REPO), home=home)
    assert secret not in {hashlib.sha256(d).hexdigest() for d in files(hub).values()}
    blobs = hub.hub.repos[REPO].blobs.values()
    assert secret not in {hashlib.sha256(data).hexdigest() for data in blobs}
    assert secret.encode() in files(hub)["tireg.json"]
    publish(PublishRequest("my-cat", "alice/open", with_pictures=True), home=home)
    found = files(hub, "alice/open")
    assert hashlib.sha256(found["pictures/picture-1.png"]).hexdigest() == secret
    assert (
        "pictures&#47;" in found["README.md"].decode() or "pictures/" in found["README.md"].decode()
    )


def test_captions_go_with_the_pictures_they_describe(hub: HubServer, home: Path) -> None:
    said = "my cat in our kitchen"
    concept = make.concept("my-cat", said)
    version = keep(home, pictures=True, scored=True, concept=concept)
    publish(PublishRequest("my-cat", REPO), home=home)
    assert not any(said.encode() in data for data in hub.hub.repos[REPO].blobs.values())
    assert not publish(PublishRequest("my-cat", REPO), home=home).committed
    (back,) = pull(REPO, home=home)
    assert (back.added, back.scores) == (False, 0)
    assert back.version.record_sha == version.record_sha
    publish(PublishRequest("my-cat", "alice/open", with_pictures=True), home=home)
    found = files(hub, "alice/open")
    assert said.encode() in found["tireg.json"]
    assert hashlib.sha256(found["tireg.json"]).hexdigest() == version.record_sha


def test_previews_lose_what_the_camera_hid(hub: HubServer, home: Path) -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(png(3)))
    exif = Image.Exif()
    exif[0x010E] = "SECRET PLACE"
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", exif=exif, comment=b"SECRET PLACE")
    keep(home, preview=buffer.getvalue())
    publish(PublishRequest("my-cat", REPO), home=home)
    assert not any(b"SECRET PLACE" in data for data in hub.hub.repos[REPO].blobs.values())
    assert "previews/preview-1.jpg" in files(hub)

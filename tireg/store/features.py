"""Features of previews and vectors of embeddings, as matrices that are mapped, not read.

One ``.npy`` file per space of features. A row is the sha256 of what it describes, a checksum
and the unit-length vector, so the file needs no table beside it. It only repeats what could
be measured again; a row that fails its checksum is passed over.
"""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import InputError, StoreError
from tireg.store.core import Store
from tireg.store.files import write_whole
from tireg.store.names import clean_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


class Features:
    """The feature matrices of one registry.

    ``space`` names what made the features, weights included, so that no two kinds of
    features ever meet in one matrix.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.home / "features"
        self._mapped: dict[Path, tuple[tuple[int, int, int], NDArray[np.void]]] = {}

    def path(self, space: str) -> Path:
        """The matrix of a space."""
        digest = hashlib.sha256(space.encode()).hexdigest()[:12]
        return self.folder / f"{clean_name(space)[:60]}-{digest}.npy"

    def put(self, space: str, keys: Sequence[str], vectors: Matrix) -> int:
        """Keep features ``[n, d]`` of the objects ``keys`` (hex sha256); how many were new.

        Rows are scaled to length 1. Raises InputError for a zero or non-finite row, or a
        width other than the space has.
        """
        import numpy as np

        unit = _unit(np.asarray(vectors, dtype=np.float32), len(keys))
        with self.store.writing():
            path = self.path(space)
            rows = self._rows(path, unit.shape[1])
            known = set() if rows is None else _keys(rows)
            fresh = [n for n, key in enumerate(keys) if bytes.fromhex(key) not in known]
            fresh = list({keys[n]: n for n in fresh}.values())
            if not fresh:
                return 0
            data = _encode([keys[n] for n in fresh], unit[fresh])
            if rows is None:
                self.folder.mkdir(exist_ok=True)
                write_whole(path, _header(0, unit.shape[1]))
            _append(path, data, unit.shape[1], 0 if rows is None else len(rows))
        return len(fresh)

    def known(self, space: str) -> set[str]:
        """The keys that have features in this space."""
        with self.store.reading():
            rows = self._rows(self.path(space))
        return set() if rows is None else {key.hex() for key in _keys(rows)}

    def missing(self, space: str) -> list[str]:
        """Previews of embeddings outside the trash without features in this space."""
        with self.store.reading() as db:
            previews = db.execute(
                "SELECT DISTINCT f.sha256 FROM files f JOIN versions v ON v.id = f.version_id"
                " WHERE f.role = 'preview' AND v.trashed IS NULL ORDER BY f.sha256"
            ).fetchall()
        known = self.known(space)
        return [sha for (sha,) in previews if sha not in known]

    def vector(self, space: str, key: str) -> Matrix | None:
        """The unit vector ``[d]`` of one key, or None."""
        import numpy as np

        with self.store.reading():
            rows = self._rows(self.path(space))
        if rows is None:
            return None
        wanted = np.frombuffer(bytes.fromhex(key), dtype=np.uint8)
        for place in np.flatnonzero((rows["key"] == wanted).all(axis=1)):
            if _is_whole(rows[place]):
                return np.array(rows[place]["vector"])
        return None

    def nearest(self, space: str, query: Matrix, limit: int) -> list[tuple[str, float]]:
        """The keys with the highest cosine (-1..1) to ``query`` ``[d]``, exact, best first."""
        import numpy as np

        unit = _unit(np.asarray(query, dtype=np.float32).reshape(1, -1), 1)[0]
        with self.store.reading():
            rows = self._rows(self.path(space), len(unit))
        if rows is None or not len(rows):
            return []
        cosines = rows["vector"] @ unit
        limit = min(limit, len(cosines))
        top = np.argpartition(cosines, len(cosines) - limit)[-limit:]
        top = top[np.argsort(cosines[top], kind="stable")[::-1]]
        return [
            (bytes(rows[n]["key"]).hex(), float(np.clip(cosines[n], -1, 1)))
            for n in top
            if _is_whole(rows[n])
        ]

    def compact(self, keep: set[str]) -> int:
        """Rewrite every matrix without the keys outside ``keep``; the rows dropped.

        The caller holds the write lock.
        """
        import numpy as np

        dropped = 0
        for path in sorted(self.folder.glob("*.npy")):
            rows = self._rows(path)
            if rows is None:
                continue
            stay = np.fromiter((bytes(k).hex() in keep for k in rows["key"]), bool, len(rows))
            if not stay.all():
                dropped += int((~stay).sum())
                left = rows[stay]
                width = left["vector"].shape[1]
                write_whole(path, _header(len(left), width) + left.tobytes())
        return dropped

    def _rows(self, path: Path, width: int | None = None) -> NDArray[np.void] | None:
        import numpy as np

        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        # A new mapping has to be filled page by page, which takes longer than the search.
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        try:
            if path not in self._mapped or self._mapped[path][0] != seen:
                self._mapped[path] = (seen, np.load(path, mmap_mode="r", allow_pickle=False))
            rows = self._mapped[path][1]
            found = int(rows.dtype["vector"].shape[0])
        except (ValueError, KeyError, IndexError, TypeError, EOFError) as error:
            raise StoreError(
                f"'{path}' is not a matrix of features",
                hint="delete it; the next search by picture makes it again",
            ) from error
        if width is not None and found != width:
            raise InputError(f"'{path.name}' holds features of width {found}, not {width}")
        return rows


def rows_space(encoder: str, width: int) -> str:
    """The space of mean token rows of one text encoder."""
    return f"rows/{encoder}/{width}"


def put_vectors(features: Features, several: Mapping[str, Mapping[str, Matrix]]) -> None:
    """Keep the mean row of each encoder's ``[n, width]`` vectors, for searches by nearness.

    ``several`` maps tensor hashes to vectors by encoder key.
    """
    import numpy as np

    spaces: dict[str, dict[str, Matrix]] = {}
    for tensor_hash, tensors in several.items():
        for encoder, vectors in tensors.items():
            mean = vectors.mean(axis=0)
            # A mean of zero has no direction; such an embedding is near to nothing.
            if float(abs(mean).max()) > 0:
                spaces.setdefault(rows_space(encoder, vectors.shape[1]), {})[tensor_hash] = mean
    for space, means in spaces.items():
        features.put(space, list(means), np.stack(list(means.values())))


def _dtype(width: int) -> np.dtype[Any]:
    import numpy as np

    return np.dtype(
        [("key", "u1", (32,)), ("check", "<u4"), ("pad", "u1", (28,)), ("vector", "<f4", (width,))]
    )


def _encode(keys: Sequence[str], unit: Matrix) -> bytes:
    import numpy as np

    rows = np.zeros(len(keys), dtype=_dtype(unit.shape[1]))
    joined = b"".join(bytes.fromhex(key) for key in keys)
    rows["key"] = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 32)
    rows["vector"] = unit
    rows["check"] = [zlib.crc32(vector.tobytes()) for vector in unit]
    return rows.tobytes()


def _is_whole(row: np.void) -> bool:
    return zlib.crc32(row["vector"].tobytes()) == int(row["check"])


def _keys(rows: NDArray[np.void]) -> set[bytes]:
    joined = rows["key"].tobytes()
    return {joined[n : n + 32] for n in range(0, len(joined), 32)}


def _header(count: int, width: int) -> bytes:
    """The .npy header; numpy pads it so that its length does not change as rows are added."""
    from numpy.lib import format as npy

    out = io.BytesIO()
    descr = npy.dtype_to_descr(_dtype(width))
    npy.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": (count,)})
    return out.getvalue()


def _append(path: Path, data: bytes, width: int, count: int) -> None:
    """Write rows behind the last counted one, then count them: a crash between loses them."""
    row = _dtype(width).itemsize
    header = _header(count + len(data) // row, width)
    with path.open("r+b") as file:
        file.seek(len(header) + count * row)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        file.write(header)
        file.flush()
        os.fsync(file.fileno())


def _unit(vectors: Matrix, count: int) -> Matrix:
    import numpy as np

    if vectors.ndim != 2 or len(vectors) != count:
        raise InputError(f"features of shape {list(vectors.shape)} do not fit {count} keys")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise InputError("a row of features is zero or not finite")
    return (vectors / norms).astype(np.float32)  # type: ignore[no-any-return]

"""What can be told of an embedding in seconds, without drawing a picture.

Each finding has a status:

    ok            as it should be
    note          something to know, nothing to judge
    doubt         unusual: look at pictures before trusting it
    wrong         it does harm, or it cannot work
    not checked   could not be looked at here, and why
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tireg.domain.fingerprints import BaseRef
from tireg.errors import BaseError, InputError
from tireg.store.registry import Registry
from tireg.workflows.filed import read_one, recorded
from tireg.workflows.progress import Event, Listener, silent
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    import numpy as np

Status = Literal["ok", "note", "doubt", "wrong", "not checked"]

SAME = 0.999
"""Cosine above which two rows, or a row and a word, are the same for any purpose."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``encoder`` null: it is about the whole embedding."""

    check: str
    encoder: str | None
    status: Status
    value: float | None
    message: str


@dataclass(frozen=True)
class Subject:
    """The embedding that is looked at; ``name`` empty for a file."""

    name: str
    token: str
    rows: Mapping[str, np.ndarray]
    base: BaseRef | None
    class_noun: str | None
    kind: str | None
    negative: bool


def check(
    home: Path,
    ref: str,
    *,
    base: str | None = None,
    base_config: str | None = None,
    noun: str | None = None,
    suite: str | None = None,
    listen: Listener = silent,
) -> dict[str, Any]:
    """Look at the vectors, the token, and what they do to the base's text encoders alone.

    ``ref`` is a registry reference or an embedding file; ``base`` a base on this machine (default:
    the one it was trained on), a folder or a single file with ``base_config``, of which only text
    encoders are tried; ``noun`` and ``suite`` replace the class noun and the suite whose contexts
    are tried. ``ok`` is false where a finding is ``wrong``. Raises RefError, FileRefusedError,
    BaseError or SuiteError for what is not there.
    """
    with Registry.open(home, create=False) as registry:
        subject = _subject(registry, ref)
        tokens = [(row.name, row.token) for row in registry.list(limit=None)]
        known = {row.id: row.path for row in registry.bases() if row.path}
    findings = vector_findings(subject.rows) + token_findings(subject, tokens)
    from tireg.workflows.check_base import place_here

    named = subject.base.id if subject.base else None
    wanted = base or named
    place = place_here(wanted, known, base_config)
    if base is not None and place is None:
        raise BaseError(f"the base '{base}' is not on this machine", hint=f"tireg bases add {base}")
    if place is None:
        findings.append(_absent(wanted, ref))
    else:
        from tireg.workflows.check_encoders import encoder_findings

        listen(Event("reading the text encoders", 0, len(subject.rows), wanted or ""))
        try:
            findings += encoder_findings(
                home, subject, place, own=wanted == named,
                noun=noun or subject.class_noun, suite=suite, listen=listen,
            )  # fmt: skip
        except BaseError as error:
            if base is not None or base_config is not None:
                raise
            findings.append(Finding("text encoders", None, "not checked", None, str(error)))
    return {
        "embedding": subject.name or str(ref),
        "file": not subject.name,
        "token": subject.token,
        "base": wanted if place is not None else None,
        "ok": not any(finding.status == "wrong" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def vector_findings(rows: Mapping[str, np.ndarray]) -> list[Finding]:
    """What the numbers alone tell: finite, not zero, not the same twice. ``rows`` [n, width]."""
    import numpy as np

    found = []
    for key, matrix in rows.items():
        bad = ~np.isfinite(matrix).all(axis=1)
        if bad.any():
            found.append(Finding("finite", key, "wrong", None, f"{_some(bad)} not finite numbers"))
            continue
        found.append(Finding("finite", key, "ok", None, "all numbers are finite"))
        norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
        if (norms < 1e-6).any():
            words = f"{_some(norms < 1e-6)} zero, which is no word"
            found.append(Finding("zero", key, "wrong", None, words))
            continue
        found += _repeated(key, matrix / norms[:, None], norms)
    return found


def _repeated(key: str, unit: np.ndarray, norms: np.ndarray) -> list[Finding]:
    import numpy as np

    if len(unit) < 2:
        return []
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    first, second = np.unravel_index(int(cosines.argmax()), cosines.shape)
    top = float(cosines[first, second])
    pair = f"vectors {min(first, second) + 1} and {max(first, second) + 1}"
    longer = float(max(norms[first], norms[second]) / min(norms[first], norms[second]))
    if top > SAME and longer < 1.01:
        words = f"{pair} are equal (cosine {top:.4f}): one of them adds next to nothing"
        return [Finding("repeated", key, "doubt", top, words)]
    words = f"no two vectors are equal; the nearest are {pair}, cosine {top:.2f}"
    return [Finding("repeated", key, "ok", top, words)]


def _some(which: np.ndarray) -> str:
    """``vector 2 is`` or ``vectors 1, 3 are``."""
    numbers = [str(n + 1) for n, yes in enumerate(which) if yes]
    return f"vector {numbers[0]} is" if len(numbers) == 1 else f"vectors {', '.join(numbers)} are"


def token_findings(subject: Subject, tokens: Sequence[tuple[str, str]]) -> list[Finding]:
    """Whether another embedding here is typed the same way; ``tokens`` are (name, token)."""
    others = [(name, token) for name, token in tokens if name != subject.name]
    same = [name for name, token in others if token == subject.token]
    if same:
        words = f"{_names(same)} has the token {subject.token} too: one at a time can be loaded"
        return [Finding("token", None, "doubt", None, words)]
    lowered = subject.token.lower()
    if near := [name for name, token in others if token.lower() == lowered]:
        words = f"{_names(near)} has the same token but for capitals, which some bases do not see"
        return [Finding("token", None, "doubt", None, words)]
    return [Finding("token", None, "ok", None, f"no other word here is typed {subject.token}")]


def _names(names: Sequence[str]) -> str:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"'{names[0]}'{more}"


def _absent(base: str | None, ref: str) -> Finding:
    if base is None:
        words = (
            f"the base is not known, so only the vectors are looked at: tireg check {ref} --base"
        )
        return Finding("text encoders", None, "not checked", None, f"{words} BASE")
    words = (
        f"the base '{base}' is not on this machine, so norms, nearest words, collapse and the "
        f"off-token invariant are not looked at: tireg bases add {base}"
    )
    return Finding("text encoders", None, "not checked", None, words)


def _subject(registry: Registry, ref: str) -> Subject:
    version = recorded(registry, ref)
    if version is None:
        return _subject_of_file(Path(ref).expanduser())
    record = version.record
    stored = record.file("embedding")
    if stored is None:
        raise InputError(f"'{version.ref}' has no vectors", hint="tireg verify")
    rows = unpack_vectors(record, registry.objects.read(stored.sha256))
    return Subject(
        version.name,
        record.token,
        rows,
        record.base,
        record.class_noun,
        record.kind,
        record.negative,
    )


def _subject_of_file(path: Path) -> Subject:
    _, embedding = read_one(path)
    rows = {key: tensor.to_fp32() for key, tensor in embedding.tensors.items()}
    return Subject("", embedding.token, rows, None, None, None, negative=False)

"""One page about one embedding: verdict, scores, pictures, training, and how to do it again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.errors import ConfigError, InputError
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.making import utc_now
from tireg.workflows.progress import Event, Listener, Notice, silent

if TYPE_CHECKING:
    from tireg.domain.scores import Run
    from tireg.report.report_data import Rendered, ReportPage, Verdict

OURS = b'<meta name="generator" content="tireg report"'
SUFFIXES = (".html", ".htm")
MOST_COMPARED = 8


@dataclass(frozen=True)
class ReportRequest:
    """Which embeddings, as which of their evaluations, to which file.

    One ``ref`` is a report, several are a comparison. None for ``target`` is a file named after
    them in the current folder.
    """

    refs: Sequence[str]
    suite: str | None = None
    base: str | None = None
    target: Path | None = None


@dataclass(frozen=True)
class Written:
    """A page that was written; ``verdicts`` are in the order of ``refs``."""

    path: Path
    refs: tuple[str, ...]
    headline: str
    verdicts: tuple[Verdict, ...]
    runs: tuple[str | None, ...]
    rendered: Rendered
    hints: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What ``tireg report --json`` prints."""
        words = []
        for ref, run, verdict in zip(self.refs, self.runs, self.verdicts, strict=True):
            findings = [vars(finding) for finding in verdict.findings]
            words.append(
                {"embedding": ref, "run_id": run, "status": verdict.status,
                 "headline": verdict.headline, "findings": findings,
                 "unknown": list(verdict.unknown)}
            )  # fmt: skip
        return {
            "path": str(self.path),
            "bytes": len(self.rendered.html.encode()),
            "headline": self.headline,
            "words": words,
            "pictures": self.rendered.pictures,
            "pictures_left_out": self.rendered.left_out,
            "pictures_gone": self.rendered.gone,
        }


def report(request: ReportRequest, *, home: Path, listen: Listener = silent) -> Written:
    """Write the page. Raises RefError for what is not there, InputError where ``--suite`` or
    ``--base`` leave no evaluation, and ConfigError where the file cannot be written.

    An embedding that was never scored has a page all the same, which says how to score it.
    """
    if len(set(request.refs)) > MOST_COMPARED:
        raise InputError(
            f"{len(request.refs)} words are too many for one page; {MOST_COMPARED} is the most",
            hint="tireg leaderboard",
        )
    with Registry.open(home, create=False) as registry:
        versions = [registry.resolve(ref) for ref in request.refs]
    _check_apart(request.refs, versions)
    path = target_for(request.target, versions)
    if len(versions) == 1:
        return _one(request, versions[0], path, home, listen)
    from tireg.workflows.report_compare import comparison

    told, runs = comparison(request, versions, home)
    from tireg.report.report import render_comparison

    rendered = render_comparison(told, said=_saying(listen))
    _finish(path, rendered, listen)
    return Written(
        path, tuple(v.ref for v in versions), told.headline,
        tuple(side.verdict for side in told.sides), runs, rendered,
    )  # fmt: skip


def _one(
    request: ReportRequest, version: Version, path: Path, home: Path, listen: Listener
) -> Written:
    from tireg.report.report import render_report
    from tireg.workflows.report_page import page_of

    with Registry.open(home, create=False) as registry:
        runs = registry.runs(version.record_sha)
    run = choose_run(version, runs, request.suite, request.base)
    told: ReportPage = page_of(request, version, runs, run, home)
    rendered = render_report(told, said=_saying(listen))
    _finish(path, rendered, listen)
    hints = () if run else (f"tireg eval {version.ref}",)
    ident = run.run_id if run else None
    return Written(
        path, (version.ref,), told.verdict.headline, (told.verdict,), (ident,), rendered, hints
    )


def _check_apart(refs: Sequence[str], versions: Sequence[Version]) -> None:
    seen: dict[str, str] = {}
    for ref, version in zip(refs, versions, strict=True):
        if version.record_sha in seen:
            raise InputError(
                f"'{seen[version.record_sha]}' and '{ref}' are the same version, {version.ref}",
                hint=f"tireg report {version.ref}",
            )
        seen[version.record_sha] = ref


def choose_run(
    version: Version, runs: Sequence[Run], suite: str | None, base: str | None
) -> Run | None:
    """The newest evaluation on the embedding's own base, else the newest of all.

    None where there is none at all; InputError where only what was asked for is missing.
    """
    from tireg.workflows.compare import Wanted

    kept = Wanted(suite, base).runs(runs)
    if not kept:
        if suite is None and base is None:
            return None
        more = (f" --suite {suite}" if suite else "") + (f" --base {base}" if base else "")
        raise InputError(
            f"{version.ref} was not scored there", hint=f"tireg eval {version.ref}{more}"
        )
    at_home = [run for run in kept if run.verdict is None and run.spec.home is None]
    return (at_home or kept)[-1]


def made_words() -> str:
    """Who made the page, and when."""
    return (
        f"Made by tireg {tireg.__version__} on {utc_now().replace('T', ' ').removesuffix('Z')} UTC"
    )


def target_for(target: Path | None, versions: Sequence[Version]) -> Path:
    """Where the page goes, if it can; ConfigError otherwise, before anything is drawn."""
    name = "-".join(f"{version.name}-{version.version}" for version in versions)
    # Disks hold names of 255 bytes.
    name = name.encode()[:200].decode(errors="ignore")
    path = target if target is not None else Path(f"{name}-report.html")
    if path.is_dir():
        raise ConfigError(
            f"'{path}' is a folder, and a report is one file",
            hint=f"--out {path / f'{name}-report.html'}",
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"'{path}' is not a name for a web page", hint=f"--out {path}.html")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder '{path.parent}'", hint=f"mkdir -p {path.parent}")
    if path.exists() and not _is_ours(path):
        raise ConfigError(
            f"'{path}' is there already and is no report of tireg",
            hint="take another --out, or remove it",
        )
    return path


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return OURS in file.read(400)
    except OSError:
        return False


def _finish(path: Path, rendered: Rendered, listen: Listener) -> None:
    """Write the page whole or not at all, and say what is missing from it."""
    _write(path, rendered.html)
    if rendered.left_out:
        listen(Notice(f"{rendered.left_out} pictures are left out to keep the page under 5 MB"))
    if rendered.gone:
        listen(Notice(f"{rendered.gone} pictures are not kept any more"))


def _write(path: Path, text: str) -> None:
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".report-", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be written: {(error.strerror or str(error)).lower()}",
            hint="--out PATH",
        ) from error


def _saying(listen: Listener) -> Any:
    def said(done: int, total: int) -> None:
        listen(Event("encoding pictures", done, total))

    return said

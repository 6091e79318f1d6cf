"""What the server may do wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Faults:
    """Each field is one fault; all off by default.

    Counters (``drop``, ``busy``) are used up by one request each; -1 lasts for ever.
    """

    drop: int = 0  # close the connection in the middle of a file's bytes
    busy: int = 0  # answer 503
    corrupt: str = ""  # flip a byte of files whose path ends so, keeping their length
    longer: str = ""  # send more bytes than the tree says
    wrong_hash: str = ""  # the tree names another sha256 and git id for files that end so
    etag: str = ""  # ETag and X-Linked-Etag of every file
    commit_id: str = ""  # the sha of every revision and X-Repo-Commit
    names: tuple[str, ...] = ()  # further paths in every tree
    loop_pages: bool = False  # every page names a next one
    next_host: str = ""  # pages name a next one at this origin
    redirect: str = ""  # files redirect to this origin
    redirect_api: str = ""  # API calls redirect to this origin
    upload_host: str = ""  # LFS uploads and their verification go to this origin
    slow: float = 0.0  # seconds between single bytes of files and API answers
    endless: str = ""  # files that end so never end, and have no length
    status: int = 0  # every request gets this status
    limited: int = 0  # every request gets 429, with so many seconds to wait
    not_json: bool = False  # API answers are no JSON
    page_size: int = 0  # rows in one page, 0: as asked
    options: dict[str, Any] = field(default_factory=dict)

    def use(self, name: str) -> bool:
        """Whether a counted fault happens now; counts it."""
        left = int(getattr(self, name))
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0

    def set(self, values: dict[str, Any]) -> None:
        """Set faults by name; all others are switched off."""
        for entry in fields(self):
            default = getattr(Faults, entry.name, None)
            if entry.name == "options":
                continue
            setattr(self, entry.name, values.get(entry.name, default))
        unknown = set(values) - {entry.name for entry in fields(self)}
        if unknown:
            raise KeyError(f"there is no fault {sorted(unknown)}")

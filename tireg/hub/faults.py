"""What can go wrong between here and the Hub, each as a sentence with the next command."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from tireg.errors import HubError, InputError, TiregError

TRANSPORT = ("httpx", "httpx2", "httpcore", "httpcore2")


class Answered(Exception):
    """The server answered, with a status that is no success."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = {key.lower(): value for key, value in headers.items()}
        self.body = body

    @property
    def code(self) -> str:
        """The X-Error-Code header."""
        return self.headers.get("x-error-code", "")

    @property
    def words(self) -> str:
        """What the server says, one line, printable, short."""
        text = self.headers.get("x-error-message", "")
        if not text:
            try:
                data = json.loads(self.body)
                text = str(data.get("error", "")) if isinstance(data, dict) else ""
            except (ValueError, RecursionError):
                text = ""
        return re.sub(r"[^\x20-\x7e]+", " ", text)[:200].strip()


def offline() -> HubError:
    """Offline mode is set."""
    return HubError(
        "the Hub is not asked while HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE to go online"
    )


def cannot_reach(endpoint: str, error: object) -> HubError:
    """No connection, or one that broke."""
    host = urlsplit(endpoint).netloc
    if type(error).__name__ in ("ReadTimeout", "WriteTimeout", "PoolTimeout"):
        return HubError(f"the Hub at {host} does not answer in time", hint="try again later")
    if type(error).__name__ in ("ReadError", "RemoteProtocolError", "WriteError"):
        return HubError(
            f"the connection to the Hub at {host} broke off, again and again",
            hint="try again; what is done already stays done",
        )
    return HubError(
        f"the Hub at {host} cannot be reached",
        hint="check the network; everything local works without it",
    )


def transport_error(error: BaseException) -> bool | None:
    """Whether to try again after a failed transfer; None for an error of another kind."""
    if type(error).__module__.partition(".")[0] in TRANSPORT:
        return type(error).__name__ not in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol")
    return None


def said(answered: Answered, about: str, endpoint: str, logged_in: bool) -> TiregError:
    """A refusal in words. ``about`` is what was asked for: a repository, or a listing."""
    status, code = answered.status, answered.code
    repo = f"'{about}'" if about else "that"
    if code == "GatedRepo":
        return HubError(
            f"{repo} is gated: its owner must let you in",
            hint=f"open {endpoint}/{about}, accept the terms, then: hf auth login",
        )
    if code == "RevisionNotFound":
        return InputError(f"{repo} has no such revision", hint=f"tireg pull {about}")
    if code == "EntryNotFound":
        return HubError(f"{repo} lacks a file it had a moment ago", hint="try again")
    if status == 401 and "credentials" in answered.words:
        return HubError("the Hub does not know your token", hint="hf auth login")
    if status == 404 and code != "RepoNotFound" and "/" not in about:
        return HubError(f"'{endpoint}' does not answer like a Hub", hint="check HF_ENDPOINT")
    if code == "RepoNotFound" or (status in (401, 404) and "/" in about):
        hint = "check the name" if logged_in else "check the name; for a private one: hf auth login"
        return InputError(f"there is no {repo} on the Hub, or it is private", hint=hint)
    if status == 401:
        return HubError("you are not logged in to the Hub", hint="hf auth login")
    if status == 403:
        return HubError(
            f"you may not do that with {repo}",
            hint="use a token with write permission: hf auth login",
        )
    if status == 429:
        return HubError(
            f"the Hub asks for a pause{_wait(answered)}: too many requests",
            hint="try again then" if logged_in else "hf auth login raises the limit",
        )
    if status >= 500:
        return HubError(f"the Hub has trouble of its own (status {status})", hint="try again later")
    words = f": {answered.words}" if answered.words else ""
    return HubError(f"the Hub refused what was asked about {repo} (status {status}){words}")


def _wait(answered: Answered) -> str:
    found = re.search(r"\bt\s*=\s*(\d{1,6})", answered.headers.get("ratelimit", ""))
    seconds = found[1] if found else answered.headers.get("retry-after", "")
    return f" of {int(seconds)} seconds" if seconds.isdigit() and len(seconds) < 7 else ""


def translated(error: Exception, about: str, endpoint: str, logged_in: bool) -> TiregError | None:
    """What huggingface_hub raised, in words; None where it is none of its kind."""
    if isinstance(error, TiregError):
        return error
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if response is not None and hasattr(response, "status_code"):
            try:
                body = bytes(response.content)[:10_000]
            except RuntimeError:  # a streamed answer whose bytes were never read
                body = b""
            answered = Answered(response.status_code, dict(response.headers), body)
            return said(answered, about, endpoint, logged_in)
        if transport_error(seen) is not None:
            return cannot_reach(endpoint, seen)
        if type(seen).__name__ == "OfflineModeIsEnabled":
            return offline()
        seen = seen.__cause__ or seen.__context__
    if type(error) in (ValueError, RuntimeError, KeyError):
        words = re.sub(r"\s+", " ", str(error))[:300]
        return HubError(f"the Hub refused to take '{about}': {words}")
    return None

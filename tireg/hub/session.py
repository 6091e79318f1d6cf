"""One way to the Hub: which endpoint, which token, bounded requests, every failure a sentence.

Reading goes through huggingface_hub's own session, but by requests of our own: bounded in bytes,
pages and time, and without following a server to another host with the user's token.
"""

from __future__ import annotations

import json
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import tireg
from tireg.errors import HubError
from tireg.hub.faults import Answered, cannot_reach, offline, said, transport_error

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HASH = re.compile(r"[0-9a-fA-F]{32,128}(-\d+)?")
OFFICIAL = "https://huggingface.co"
CONNECT_SECONDS = 1.8  # one lost packet is sent again after a second
READ_SECONDS = 15.0
PATIENCE = 30.0  # for one answer of the API; a file gets more by its size
SLOWEST = 20_000  # bytes a second that a transfer must keep up on average
JSON_BYTES = 20_000_000
WORDS_BYTES = 20_000  # of a refusal
PAGES = 200
HOPS = 5

_ALLOWED: list[str] = []  # the origin that may get the token, while we are at work
_LOCK = threading.Lock()
_INSTALLED = threading.Event()

Query = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Reply:
    """A whole answer: status, lower-case headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    links: Mapping[str, str] = field(default_factory=dict)


def origin(url: str) -> str:
    """Scheme, host and port of a URL, the port always written out."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def token_for(endpoint: str) -> str | None:
    """The token that belongs to ``endpoint``, or None.

    huggingface_hub's stores hold tokens of huggingface.co. Another endpoint gets one only
    where the user set ``HF_TOKEN`` for it, beside ``HF_ENDPOINT``.
    """
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None
    if origin(endpoint) == origin(OFFICIAL):
        return get_token()
    return (os.environ.get("HF_TOKEN") or "").strip() or None


@contextmanager
def guarded(endpoint: str) -> Iterator[None]:
    """While inside, huggingface_hub sends the token to ``endpoint`` and nowhere else.

    Its upload takes addresses from the server and would follow them with the token.
    """
    _install()
    allowed = origin(endpoint)
    with _LOCK:
        _ALLOWED.append(allowed)
    try:
        yield
    finally:
        with _LOCK:
            _ALLOWED.remove(allowed)


def _install() -> None:
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import hf_request_event_hook

    def strip(request: httpx2.Request) -> None:
        if _ALLOWED and origin(str(request.url)) not in _ALLOWED:
            request.headers.pop("authorization", None)

    def check(response: httpx2.Response) -> None:
        url = str(response.request.url)
        if _ALLOWED and "/resolve/" in url and origin(url) != origin(OFFICIAL):
            check_names(response.headers, url)

    def factory() -> httpx2.Client:
        return httpx2.Client(
            event_hooks={"request": [hf_request_event_hook, strip], "response": [check]},
            follow_redirects=True,
            timeout=httpx2.Timeout(60.0, connect=10.0),
        )

    with _LOCK:
        if not _INSTALLED.is_set():
            set_client_factory(factory)
            _INSTALLED.set()


def check_names(headers: Mapping[str, str], url: str) -> None:
    """HubError when a server gives a file a name by which the client's cache would write it
    somewhere else: etags and commits are hashes, and nothing but hashes."""
    for name in ("etag", "x-linked-etag", "x-repo-commit"):
        value = headers.get(name, "").removeprefix("W/").strip('"')
        if value and HASH.fullmatch(value) is None:
            raise HubError(
                f"'{urlsplit(url).netloc}' gives a file an impossible {name}",
                hint="this server cannot be trusted",
            )


class Hub:
    """The Hub as this process sees it. Make one with :func:`connect`."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.token = token

    @property
    def api(self) -> HfApi:
        """huggingface_hub's client, bound to this endpoint and token; use inside guarded()."""
        from huggingface_hub import HfApi

        return HfApi(
            endpoint=self.endpoint,
            token=self.token or False,
            library_name="tireg",
            library_version=tireg.__version__,
        )

    def url(self, *parts: str) -> str:
        """An address under the endpoint; each part is quoted, slashes inside it too."""
        return "/".join([self.endpoint, *(quote(part, safe="") for part in parts)])

    def json(self, *parts: str, query: Query | None = None, about: str = "") -> Any:
        """One JSON answer of the API. HubError for anything else."""
        url = self.url("api", *parts)
        return self._parsed(self.get(url, query, about=about), url)[0]

    def pages(
        self, *parts: str, query: Query | None = None, about: str = "", limit: int = 100_000
    ) -> Iterator[Any]:
        """The rows of a listing, page after page, at most ``limit``.

        HubError when the server names a page at another host, or more pages than any has.
        """
        url: str | None = self.url("api", *parts)
        seen: set[str] = set()
        count = 0
        while url is not None:
            rows, url_next = self._parsed(self.get(url, query, about=about), url)
            if not isinstance(rows, list):
                raise HubError(f"the Hub answered about {about} with something other than a list")
            for row in rows:
                if count >= limit:
                    return
                count += 1
                yield row
            seen.add(url)
            if url_next in seen or len(seen) >= PAGES:
                raise HubError(
                    f"the Hub's listing of {about} never ends",
                    hint="this server cannot be trusted",
                )
            url, query = url_next, None

    def _parsed(self, reply: Reply, url: str) -> tuple[Any, str | None]:
        try:
            data = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise HubError(
                f"'{self.endpoint}' does not answer like a Hub", hint="check HF_ENDPOINT"
            ) from error
        if "next" not in reply.links:
            return data, None
        after = self._address(url, reply.links["next"])
        if origin(after) != origin(self.endpoint):
            raise HubError(
                f"'{self.endpoint}' sends on to another host, '{urlsplit(after).hostname}'",
                hint="this server cannot be trusted",
            )
        return data, after

    def get(
        self,
        url: str,
        query: Query | None = None,
        *,
        about: str = "",
        limit: int = JSON_BYTES,
        elsewhere: bool = False,
    ) -> Reply:
        """GET one address under the endpoint, whole, at most ``limit`` bytes.

        Dropped connections and 5xx are tried again twice. ``elsewhere`` lets it follow
        redirects to other hosts, where the token never goes.
        """
        deadline = time.monotonic() + PATIENCE + limit / SLOWEST * (limit != JSON_BYTES)
        for attempt in range(3):
            try:
                return self._get(url, query, limit, elsewhere, deadline)
            except Answered as answered:
                if answered.status < 500 or attempt == 2:
                    raise said(answered, about, self.endpoint, bool(self.token)) from answered
            except Exception as error:
                again = transport_error(error)
                if again is None:
                    raise
                if not again or attempt == 2:
                    raise cannot_reach(self.endpoint, error) from error
            time.sleep(0.2 * 3**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _get(
        self, url: str, query: Query | None, limit: int, elsewhere: bool, deadline: float
    ) -> Reply:
        for _ in range(HOPS):
            reply = self._once(url, query, limit, deadline)
            if reply.status not in (301, 302, 303, 307, 308):
                return reply
            target = self._address(url, reply.headers.get("location", ""))
            away = origin(target) != origin(self.endpoint)
            downgrade = urlsplit(target).scheme != "https" and self.endpoint.startswith("https:")
            if downgrade or (away and not elsewhere):
                raise HubError(
                    f"'{self.endpoint}' sends on to another host, '{urlsplit(target).hostname}'",
                    hint="check HF_ENDPOINT; if it is right, this server cannot be trusted",
                )
            url, query = target, None
        raise HubError(f"'{self.endpoint}' redirects without end")

    def _address(self, url: str, named: str) -> str:
        """The address that the answer of ``url`` sends on to; HubError where it is none."""
        try:
            target = urljoin(url, named)
            origin(target)  # raises on an impossible port
            (urlsplit(target).hostname or "").encode("idna")
            if urlsplit(target).scheme in ("http", "https") and urlsplit(target).hostname:
                return target
        except ValueError:
            pass
        raise HubError(
            f"'{self.endpoint}' sends on to what is no address of a server",
            hint="this server cannot be trusted",
        )

    def _once(self, url: str, query: Query | None, limit: int, deadline: float) -> Reply:
        import httpx2
        from huggingface_hub import get_session
        from huggingface_hub.utils._headers import build_hf_headers

        mine = origin(url) == origin(self.endpoint)
        headers = build_hf_headers(
            token=(self.token or False) if mine else False,
            library_name="tireg",
            library_version=tireg.__version__,
        )
        # Compressed bytes could hide how many they become.
        headers["accept-encoding"] = "identity"
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        body = bytearray()
        with get_session().stream(
            "GET", url, params=query, headers=headers, timeout=timeout, follow_redirects=False
        ) as response:
            refused = response.status_code >= 400
            redirect = 300 <= response.status_code < 400
            for chunk in () if redirect else response.iter_raw():
                body += chunk
                if refused and len(body) > WORDS_BYTES:
                    break
                if not refused and len(body) > limit:
                    raise HubError(
                        f"'{self.endpoint}' sent more than the {limit} bytes expected",
                        hint="this server cannot be trusted",
                    )
                if time.monotonic() > deadline:
                    raise HubError(f"'{self.endpoint}' is too slow", hint="try again later")
            if refused:
                raise Answered(response.status_code, dict(response.headers), bytes(body))
            links = {str(name): str(link.get("url")) for name, link in response.links.items()}
            return Reply(response.status_code, dict(response.headers), bytes(body), links)


def connect() -> Hub:
    """The Hub at the configured endpoint, after the quick checks that it may be there.

    HubError at once when offline mode is set, and within three seconds without a network.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        raise offline()
    endpoint = constants.ENDPOINT
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise HubError(
            f"HF_ENDPOINT is '{endpoint}', which is no address of a Hub",
            hint=f"unset HF_ENDPOINT, or write it like {OFFICIAL}",
        )
    _install()
    check_there(endpoint)
    return Hub(endpoint, token_for(endpoint))


def check_there(endpoint: str) -> None:
    """HubError unless a connection to the endpoint's host can be opened in time.

    A resolver may hang without a network, and a host of many addresses is tried by the client
    one after the other, so both are bounded here together. Behind a proxy the proxy looks names
    up and connects, so nothing is asked.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(endpoint)
    proxied = parts.scheme in getproxies() or "all" in getproxies()
    if proxied and not proxy_bypass(parts.hostname or ""):
        return
    answers: queue.Queue[OSError | None] = queue.Queue()
    deadline = time.monotonic() + CONNECT_SECONDS

    def reach(address: tuple[Any, ...]) -> None:
        try:
            socket.create_connection(address[:2], CONNECT_SECONDS).close()
        except OSError as error:
            answers.put(error)
        else:
            answers.put(None)

    def look() -> None:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            answers.put(error)
            return
        waiting.extend([None] * (len(found) - 1))
        for *_, address in found:
            threading.Thread(target=reach, args=(address,), daemon=True).start()

    waiting: list[None] = [None]
    threading.Thread(target=look, daemon=True).start()
    failed: OSError | None = None
    while waiting:
        try:
            failed = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if failed is None:
            return
        waiting.pop()
    raise cannot_reach(endpoint, failed)

"""The HTTP side: connections, the log of requests, faults on the way out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hubserver.faults import Faults
from tests.hubserver.repos import Hub, Refused
from tests.hubserver.routes import answer


@dataclass(frozen=True)
class Request:
    """A request as a route sees it; the path is split at ``/`` and unquoted piece by piece."""

    method: str
    path: str
    parts: list[str]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    user: str | None
    origin: str

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def one(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


@dataclass
class Reply:
    """What goes back. ``file`` marks the bytes of a repository's file, with its path."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: str | None = None


@dataclass(frozen=True)
class Seen:
    """One line of the log."""

    method: str
    path: str
    token: str | None
    status: int
    headers: dict[str, str]


class HubServer(ThreadingHTTPServer):
    """A Hub on a loopback port; ``seen`` lists every request it got."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: Hub | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.hub = hub or Hub()
        self.faults = Faults()
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def running(hub: Hub | None = None) -> Iterator[HubServer]:
    """A server in a thread of its own, stopped on the way out."""
    server = HubServer(hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Reads one request, asks :func:`answer`, writes the reply with its faults."""

    protocol_version = "HTTP/1.1"
    server: HubServer
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in ``server.seen`` instead of printed."""

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        url = urlsplit(self.path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        request = Request(
            self.command,
            url.path,
            [unquote(part) for part in url.path.strip("/").split("/")],
            parse_qs(url.query, keep_blank_values=True),
            {key.lower(): value for key, value in self.headers.items()},
            body,
            self.server.hub.users.get(token or ""),
            f"http://{self.headers.get('Host')}",
        )
        if request.parts[0] == "_faults":
            self.server.faults.set(request.json())
            reply = Reply()
        elif request.parts[0] == "_log":
            lines = [[s.method, s.path, s.token, s.status] for s in self.server.seen]
            reply = Reply(body=json.dumps(lines).encode())
        else:
            reply = self._reply(request, token)
            self.server.seen.append(
                Seen(self.command, self.path, token, reply.status, request.headers)
            )
        self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _any

    def _chunks(self) -> bytes:
        if (self.headers.get("Transfer-Encoding") or "").lower() != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, request: Request, token: str | None) -> Reply:
        faults = self.server.faults
        if faults.use("busy"):
            return refusal(Refused(503, "", "Service Unavailable"))
        if faults.status:
            return refusal(Refused(faults.status, "", "the server says so"))
        if faults.limited:
            reply = refusal(Refused(429, "", "Too Many Requests"))
            reply.headers["ratelimit"] = f'"api";r=0;t={faults.limited}'
            reply.headers["ratelimit-policy"] = '"fixed window";"api";q=500;w=300'
            return reply
        if token is not None and request.user is None and request.parts[0] != "_lfs":
            return refusal(Refused(401, "", "Invalid credentials in Authorization header"))
        is_api = request.parts[0] == "api"
        if is_api and faults.redirect_api:
            return Reply(307, headers={"Location": faults.redirect_api + self.path})
        try:
            reply = answer(self.server.hub, faults, request)
        except Refused as refused:
            return refusal(refused)
        if is_api and faults.not_json:
            reply.body = b"<html>a login page</html>"
        return reply

    def _send(self, reply: Reply) -> None:
        faults = self.server.faults
        endless = bool(reply.file and faults.endless and reply.file.endswith(faults.endless))
        dropped = bool(reply.file and reply.body and self.command == "GET" and faults.use("drop"))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if endless or dropped:
            self.close_connection = True
        if not endless:
            self.send_header("Content-Length", reply.headers.get("X-Length", str(len(reply.body))))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if endless:
            for _ in range(4000):
                self.wfile.write(b"x" * 65536)
        elif dropped:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.wfile.flush()
            self.connection.close()
        elif faults.slow:
            for index in range(len(reply.body)):
                self.wfile.write(reply.body[index : index + 1])
                self.wfile.flush()
                time.sleep(faults.slow)
        else:
            self.wfile.write(reply.body)


def refusal(refused: Refused) -> Reply:
    """A refusal with the headers clients look at."""
    headers = {"Content-Type": "application/json", "X-Error-Message": refused.message}
    if refused.code:
        headers["X-Error-Code"] = refused.code
    return Reply(refused.status, json.dumps({"error": refused.message}).encode(), headers)

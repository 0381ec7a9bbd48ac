# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""HTTP for the test Hub: requests and answers as plain objects, the log of requests, and the faults on the wire."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_server.faults import Fault, Faults


class HubError(Exception):
    """An answer that is an error. `code` goes into `X-Error-Code`, by which clients choose their exception."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        line = " ".join(message.encode("ascii", "replace").decode().split())  # what a header can hold
        self.headers = {"X-Error-Message": line, **({"X-Error-Code": code} if code else {}), **(headers or {})}


@dataclass
class Request:
    """A request, and after it is answered its log entry. The token is not kept, only whose it is."""

    method: str
    target: str  # the path as it was sent, quoted, without the query, which holds signatures
    path: str  # the path unquoted
    segments: list[str]  # of the path, unquoted one by one: a revision `refs%2Fpr%2F1` is one segment
    query: dict[str, list[str]] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    status: int | None = None
    received: int = 0  # bytes of the request's body
    sent: int = 0  # bytes of the answer's body

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("1", "true")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HubError(400, f"Invalid JSON body: {error}") from error


@dataclass
class Response:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def json(cls, value, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        body = json.dumps(value).encode()
        return cls(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)

    @classmethod
    def error(cls, error: HubError) -> Response:
        return cls.json({"error": error.message}, error.status, error.headers)


class CutConnection(Exception):
    """The connection is closed without an (or with half an) answer."""


class Handler(BaseHTTPRequestHandler):
    """Reads a request, lets `server.answer` handle it, writes the answer, and does what the queued fault says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle_request(self) -> None:
        parts = urlsplit(self.path)
        token = self.headers.get("Authorization", "").partition("Bearer ")[2] or None
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"}
        segments = [unquote(segment) for segment in parts.path.strip("/").split("/")]
        query = parse_qs(parts.query, keep_blank_values=True)
        request = Request(self.command, parts.path, unquote(parts.path), segments, query, headers, token=token)
        self.server.log.append(request)
        fault = self.server.faults.take(request.method, request.path)
        try:
            request.body = self.read_body(fault.upload_bytes if fault else None)
            request.received = len(request.body)
            self.write(request, self.answer(request, fault), fault)
        except (CutConnection, ConnectionError):
            self.cut(reset=fault is not None and fault.reset)
        finally:
            request.body, request.token = b"", None  # the log is for reading, not for large files and secrets

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_request

    def answer(self, request: Request, fault: Fault | None) -> Response:
        if fault is not None:
            time.sleep(fault.delay)
            if fault.before is not None:
                fault.before()
            if fault.status is not None and not fault.handled:
                return Response.error(HubError(fault.status, "Injected fault", headers=fault.headers))
        try:
            response = self.server.answer(request)
        except HubError as error:
            response = Response.error(error)
        except Exception:  # a bug of the server, or a request that it does not understand: 501 is not tried again
            self.server.failures.append(f"{request.method} {request.path}: {traceback.format_exc()}")
            response = Response.error(HubError(501, "The test server failed"))
        if fault is not None and fault.handled and fault.status is not None:
            return Response.error(HubError(fault.status, "Injected fault", headers=fault.headers))
        return response

    def read_body(self, cut_after: int | None) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces, total = [], 0
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
                total += size
                if cut_after is not None and total >= cut_after:
                    raise CutConnection
            self.rfile.readline()
            if cut_after is not None:
                raise CutConnection
            return b"".join(pieces)
        length = int(self.headers.get("Content-Length", 0))
        if cut_after is not None:
            self.rfile.read(min(cut_after, length))
            raise CutConnection
        body = self.rfile.read(length)
        if len(body) < length:
            raise CutConnection  # the client has gone
        return body

    def write(self, request: Request, response: Response, fault: Fault | None) -> None:
        body = response.body
        limit = None if fault is None else fault.download_bytes
        if limit == -1:
            raise CutConnection
        if fault is not None and fault.corrupt:
            middle = len(body) // 2
            body = body[:middle] + bytes(byte ^ 0xFF for byte in body[middle : middle + 16]) + body[middle + 16 :]
        if fault is not None and fault.short:
            body, limit = body[:limit], None
        request.status = response.status
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if request.method == "HEAD":
            return
        self.wfile.write(body[:limit])
        request.sent = len(body[:limit])
        if limit is not None and limit < len(body):
            raise CutConnection

    def cut(self, reset: bool) -> None:
        """Closes the connection: in good order, or with a reset, which clients see as another error."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *args) -> None:
        """Nothing on standard error: `Server.log` has it all."""


class Server(ThreadingHTTPServer):
    """
    A server on a free port of the loopback interface.

    Args:
        answer: from a request to its answer; raises `HubError`.
        log, faults, failures: shared by the servers of one Hub. Tracebacks of the server's own errors are failures.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Request], Response], log: list[Request], faults: Faults, failures: list[str]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.log = log
        self.faults = faults
        self.failures = failures
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: socket.socket, client_address) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Stops listening, and ends the connections that clients keep open."""
        super().server_close()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed in the meantime

    def handle_error(self, request, client_address) -> None:
        """A client that goes away is no error of the server; anything else is printed as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

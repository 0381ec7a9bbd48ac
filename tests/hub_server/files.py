# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Reading from the test Hub: tree listings, paths-info, `resolve`, and the storage of large files."""

from __future__ import annotations

import hashlib
import re
import secrets
from urllib.parse import parse_qs, quote, urlencode

from tests.hub_server.http import HubError, Request, Response
from tests.hub_server.store import Commit, Entry, Repository, folder_oids, lfs_pointer, timestamp


def find_commit(repository: Repository, revision: str) -> Commit:
    commit = repository.resolve(revision)
    if commit is None:
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def last_commit(repository: Repository, commit: Commit, path: str) -> Commit:
    """Returns the newest commit up to `commit` that changed the file or folder `path`."""

    def below(one: Commit) -> dict[str, str]:
        return {name: e.oid for name, e in one.tree.items() if name == path or name.startswith(path + "/")}

    history = repository.history(commit)
    for newer, older in zip(history, history[1:], strict=False):
        if below(newer) != below(older):
            return newer
    return history[-1]


def describe(repository: Repository, commit: Commit, path: str, oids: dict[str, str], expand: bool) -> dict:
    """Returns the JSON object of a file or folder, as tree and paths-info list it."""
    entry = commit.tree.get(path)
    if entry is None:
        info = {"type": "directory", "oid": oids[path], "size": 0, "path": path}
    else:
        info = {"type": entry.type, "oid": entry.oid, "size": entry.size, "path": path}
        if entry.sha256:
            pointer_size = len(lfs_pointer(entry.sha256, entry.size))
            info["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": pointer_size}
    if expand:
        last = last_commit(repository, commit, path)
        info["lastCommit"] = {"id": last.oid, "title": last.title, "date": timestamp(last.date)}
    return info


def tree(repository: Repository, request: Request, revision: str, path: str, url: str, page_size: int) -> Response:
    """Lists a folder, page by page; the address of the next page is in the `Link` header."""
    commit = find_commit(repository, revision)
    oids = folder_oids(commit.tree)
    if path not in oids:
        raise HubError(404, f'{path} does not exist on "{revision}"', "EntryNotFound")
    start = f"{path}/" if path else ""
    paths = sorted(name for name in {*oids, *commit.tree} if name and name.startswith(start))
    if not request.flag("recursive"):
        paths = [name for name in paths if "/" not in name[len(start) :]]
    expand = request.flag("expand")
    limit = min(int(request.query.get("limit", [page_size])[0]), 50 if expand else page_size)
    begin = int(request.query.get("cursor", ["0"])[0])
    headers = {}
    if begin + limit < len(paths):
        query = {name: values[-1] for name, values in request.query.items()} | {"cursor": begin + limit}
        headers["Link"] = f'<{url}?{urlencode(query)}>; rel="next"'
    page = [describe(repository, commit, name, oids, expand) for name in paths[begin : begin + limit]]
    return Response.json(page, headers=headers)


def paths_info(repository: Repository, request: Request, revision: str) -> Response:
    """Describes the paths asked for; those that do not exist are left out."""
    if "json" in request.headers.get("content-type", ""):
        body = request.json()
        paths, expand = body["paths"], bool(body.get("expand"))
    else:
        form = parse_qs(request.body.decode())
        paths, expand = form.get("paths", []), form.get("expand", ["false"])[0].lower() in ("1", "true")
    if len(paths) > 1000:
        raise HubError(413, "too many parameters")
    commit = find_commit(repository, revision)
    oids = folder_oids(commit.tree)
    paths = [path.strip("/") for path in paths]
    known = [path for path in paths if path and (path in commit.tree or path in oids)]
    return Response.json([describe(repository, commit, path, oids, expand) for path in known])


def ranged(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """Answers with the content or with the range of it that is asked for."""
    headers = {"Accept-Ranges": "bytes", **headers}
    wanted = request.headers.get("range")
    if wanted is None:
        return Response(200, headers, content)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted.strip())
    size = len(content)
    if not match or wanted.strip() == "bytes=-":
        return Response(200, headers, content)  # several ranges, or none that HTTP knows: all of it
    first, last = match.groups()
    if first:
        begin, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        begin, end = max(size - int(last), 0), size - 1
    if begin > end:
        raise HubError(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
    return Response(206, headers, content[begin : end + 1])


def resolve(repository: Repository, request: Request, revision: str, path: str, storage: Storage) -> Response:
    """Serves a regular file, and sends clients to the storage for a large one, as the Hub does."""
    commit = find_commit(repository, revision)
    entry = commit.tree.get(path)
    headers = {"X-Repo-Commit": commit.oid}
    if entry is None:
        raise HubError(404, "Entry not found", "EntryNotFound", headers)
    name = path.rpartition("/")[2]
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(name)}; filename=\"{quote(name)}\";"
    if entry.sha256 is None:
        headers |= {"ETag": f'"{entry.oid}"', "Content-Type": "text/plain; charset=utf-8"}
        return ranged(request, entry.content, headers)
    location = storage.download_url(repository, entry)
    headers |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.sha256}"', "Location": location}
    return Response(302, headers, f"Found. Redirecting to {location}".encode())


class Storage:
    """
    The large files' server. Like S3 or a CDN it has another origin than the Hub, knows no users and takes signed
    addresses alone: a request that brings the Hub's token along is an error, of the client or of what it was told.
    """

    def __init__(self):
        self.url = ""
        self._uploads: dict[str, tuple[Repository, str, int]] = {}
        self._downloads: dict[str, tuple[Repository, Entry]] = {}
        self._parts: dict[str, dict[int, bytes]] = {}

    def _sign(self, operation: str, repository: Repository, sha256: str) -> tuple[str, str]:
        signature = secrets.token_hex(16)
        path = f"/lfs-store/{repository.prefix}{repository.id}/{sha256}"
        return signature, f"{self.url}{path}?operation={operation}&signature={signature}"

    def download_url(self, repository: Repository, entry: Entry) -> str:
        signature, url = self._sign("download", repository, entry.sha256)
        self._downloads[signature] = (repository, entry)
        return url

    def upload_url(self, repository: Repository, sha256: str, size: int) -> str:
        signature, url = self._sign("upload", repository, sha256)
        self._uploads[signature] = (repository, sha256, size)
        return url

    def answer(self, request: Request) -> Response:
        if request.token is not None:
            raise HubError(400, "Only one auth mechanism allowed")
        signature = request.query.get("signature", [""])[0]
        if request.method in ("GET", "HEAD") and signature in self._downloads:
            repository, entry = self._downloads[signature]
            headers = {"ETag": f'"{entry.sha256}"', "Content-Type": "application/octet-stream"}
            return ranged(request, repository.content(entry), headers)
        if request.method == "PUT" and signature in self._uploads:
            if "part" in request.query:
                number = int(request.query["part"][0])
                self._parts.setdefault(signature, {})[number] = request.body
                return Response(200, {"ETag": f'"{signature}-{number}"'})
            self.finish(signature, request.body)
            return Response(200)
        raise HubError(403, "SignatureDoesNotMatch")

    def finish(self, signature: str, content: bytes) -> None:
        """Keeps the content, if it is what was announced."""
        repository, sha256, size = self._uploads[signature]
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise HubError(400, "BadDigest: the content is not what was announced")
        repository.large[sha256] = content

    def finish_parts(self, signature: str, etags: list[str]) -> None:
        """Puts the parts together, in order, and keeps the whole."""
        parts = self._parts.pop(signature, {})
        if etags != [f'"{signature}-{number}"' for number in range(1, len(parts) + 1)]:
            raise HubError(400, "InvalidPart")
        self.finish(signature, b"".join(parts[number] for number in sorted(parts)))

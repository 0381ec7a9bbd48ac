# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Writing to the test Hub: preupload, git-lfs batch, verify and multipart completion, and commits as NDJSON."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import math
from urllib.parse import parse_qs, urlsplit

from tests.hub_server import cards
from tests.hub_server.files import Storage, find_commit
from tests.hub_server.http import HubError, Request, Response
from tests.hub_server.store import Entry, Repository

MAX_REGULAR_SIZE = 10 * 2**20
MULTIPART_SIZE = 16 * 2**20


def matches(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)


def is_text(sample: bytes) -> bool:
    """`sample` is the beginning of a file, so it may end within a character."""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 3 and b"\0" not in sample
    return b"\0" not in sample


def preupload(repository: Repository, request: Request, revision: str) -> Response:
    """Says for each file whether it is regular or large, and the hash of what is there under its name."""
    tree = find_commit(repository, revision).tree
    body = request.json()
    attributes = tree[".gitattributes"].content.decode() if ".gitattributes" in tree else ""
    large = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
    ignore = body.get("gitIgnore")
    if ignore is None:
        ignore = tree[".gitignore"].content.decode() if ".gitignore" in tree else ""
    ignored = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    files = []
    for file in body["files"]:
        path, sample = file["path"], base64.b64decode(file["sample"])
        is_large = any(matches(path, pattern) for pattern in large)
        is_large = is_large or file["size"] > MAX_REGULAR_SIZE or not is_text(sample)
        info = {"path": path, "uploadMode": "lfs" if is_large else "regular"}
        info["shouldIgnore"] = any(matches(path, pattern) for pattern in ignored)
        if path in tree:
            info["oid"] = tree[path].etag
        files.append(info)
    return Response.json({"files": files})


def lfs_batch(
    repository: Repository, request: Request, url: str, storage: Storage, multipart_size: int = MULTIPART_SIZE
) -> Response:
    """Tells a client where to upload each object; nothing for those that are there."""
    body = request.json()
    if body.get("operation") != "upload" or body.get("hash_algo", "sha256") != "sha256":
        raise HubError(422, "Only uploads hashed with SHA-256 are supported")
    if "ref" in body:
        find_commit(repository, body["ref"]["name"])
    objects, transfer = [], "basic"
    for item in body["objects"]:
        sha256, size = item["oid"], item["size"]
        answer = {"oid": sha256, "size": size, "authenticated": True}
        if sha256 not in repository.large:
            href = storage.upload_url(repository, sha256, size)
            upload = {"href": href}
            if "multipart" in body.get("transfers", []) and size > multipart_size:
                transfer = "multipart"
                parts = range(1, math.ceil(size / multipart_size) + 1)
                signature = parse_qs(urlsplit(href).query)["signature"][0]
                header = {"chunk_size": str(multipart_size), **{str(part): f"{href}&part={part}" for part in parts}}
                upload = {"href": f"{url}/api/complete_multipart?signature={signature}", "header": header}
            verify = {"href": f"{url}/{repository.prefix}{repository.id}.git/info/lfs/objects/verify", "header": {}}
            answer["actions"] = {"upload": upload, "verify": verify}
        objects.append(answer)
    headers = {"Content-Type": "application/vnd.git-lfs+json"}
    return Response.json({"transfer": transfer, "objects": objects}, headers=headers)


def lfs_verify(repository: Repository, request: Request) -> Response:
    body = request.json()
    content = repository.large.get(body["oid"])
    if content is None or len(content) != body["size"]:
        raise HubError(404, "Object does not exist on the server")
    return Response.json({"success": True})


def complete_multipart(request: Request, storage: Storage) -> Response:
    etags = [part["etag"] for part in sorted(request.json()["parts"], key=lambda part: part["partNumber"])]
    storage.finish_parts(request.query["signature"][0], etags)
    return Response.json({"success": True})


def read_operations(request: Request) -> tuple[dict, list[tuple[str, dict]]]:
    """Returns the header and the (kind, value) of each operation of an NDJSON body."""
    try:
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        operations = [(line["key"], line["value"]) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise HubError(400, f"Invalid NDJSON: {error!r}") from error
    if not operations or operations[0][0] != "header" or not operations[0][1].get("summary"):
        raise HubError(400, "The first line must be a header with a summary")
    return operations[0][1], operations[1:]


def check_path(path: str) -> str:
    if not path or path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise HubError(400, f"Invalid path: {path!r}")
    return path


def added(repository: Repository, kind: str, value: dict) -> Entry:
    """Returns the tree entry for a `file` or `lfsFile` operation."""
    path = value["path"]
    if kind == "file":
        try:
            content = base64.b64decode(value["content"], validate=True)
        except binascii.Error as error:
            raise HubError(400, f"{path}: invalid base64") from error
        if len(content) > MAX_REGULAR_SIZE:
            raise HubError(400, f"{path}: files larger than 10 MiB must be uploaded with git-lfs")
        return Entry.regular(content)
    sha256 = value["oid"]
    if sha256 not in repository.large:
        raise HubError(400, f"LFS pointer pointed to a file that does not exist: {path} ({sha256})")
    size = len(repository.large[sha256])
    if value.get("size", size) != size:
        raise HubError(400, f"{path}: the size of the LFS object is {size}")
    return Entry.large(sha256, size)


def apply(repository: Repository, tree: dict[str, Entry], operations: list[tuple[str, dict]]) -> dict[str, Entry]:
    """Returns a new tree with all operations done, or raises `HubError` for the first that cannot be."""
    tree = dict(tree)
    for kind, value in operations:
        path = check_path(value["path"].rstrip("/") if kind == "deletedFolder" else value["path"])
        below = [name for name in tree if name.startswith(path + "/")]
        if kind in ("file", "lfsFile"):
            parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
            if below or any(parent in tree for parent in parents):
                raise HubError(400, f"{path}: a file and a folder cannot have the same name")
            tree[path] = added(repository, kind, value)
        elif kind == "deletedFile":
            if path not in tree:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            del tree[path]
        elif kind == "deletedFolder":
            if not below:
                raise HubError(404, f"A folder with this name doesn't exist: {path}", "EntryNotFound")
            for name in below:
                del tree[name]
        else:
            raise HubError(400, f"Unknown operation: {kind}")
    return tree


def commit(repository: Repository, request: Request, revision: str, url: str) -> Response:
    """
    All operations in one commit on a branch or pull request, or none.

    With `parentCommit` the answer is 412 if the branch has moved on. With `create_pr=1` the commit becomes a new pull
    request, based on `parentCommit` or on the branch. A commit that changes nothing is made, as on the Hub; clients
    avoid it.
    """
    header, operations = read_operations(request)
    create_pr = request.flag("create_pr")
    ref = repository.ref(revision)
    if ref is None or ref.startswith("refs/tags/"):
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    base = repository.commits[repository.refs[ref]]
    parent = header.get("parentCommit")
    if parent is not None and repository.resolve(parent) is not base:
        if not create_pr:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        base = find_commit(repository, parent)
    tree = apply(repository, base.tree, operations)
    changed = tree.get("README.md")
    if changed is not None and changed != base.tree.get("README.md"):
        cards.check(changed.content.decode("utf-8", "replace"), repository.type)
    page = f"{url}/{repository.prefix}{repository.id}"
    answer = {"success": True, "hookOutput": ""}
    title, description = header["summary"], header.get("description", "")
    if create_pr:
        discussion = repository.open_discussion(title, request.user, description=description, base=revision)
        ref = f"refs/pr/{discussion.num}"
        answer["pullRequestUrl"] = f"{page}/discussions/{discussion.num}"
    made = repository.commit(ref, tree, title, request.user, description, parent=base.oid)
    return Response.json({**answer, "commitOid": made.oid, "commitUrl": f"{page}/commit/{made.oid}"})

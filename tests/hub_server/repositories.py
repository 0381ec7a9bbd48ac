# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Repositories of the test Hub as its API shows them: infos, lists, refs, commits, settings and discussions."""

from __future__ import annotations

from urllib.parse import urlencode

from tests.hub_server import cards
from tests.hub_server.files import find_commit
from tests.hub_server.http import HubError, Request, Response
from tests.hub_server.store import Discussion, Entry, Repository, lfs_pointer, timestamp


def card_data(tree: dict[str, Entry]) -> dict | None:
    if "README.md" not in tree or tree["README.md"].content is None:
        return None
    try:
        return cards.metadata(tree["README.md"].content.decode("utf-8", "replace"))
    except ValueError:
        return None


def card_tags(data: dict) -> list[str]:
    """Returns the tags that the Hub derives from the metadata, such as `license:mit`."""
    tags = [str(tag) for tag in cards.as_list(data.get("tags", []))]
    for key in ("task_categories", "task_ids", "language", "license", "size_categories", "base_model"):
        tags += [f"{key}:{value}" for value in cards.as_list(data.get(key, []))]
    return tags


def sibling(path: str, entry: Entry, blobs: bool) -> dict:
    info = {"rfilename": path}
    if blobs:
        info |= {"size": entry.size, "blobId": entry.oid}
        if entry.sha256:
            pointer_size = len(lfs_pointer(entry.sha256, entry.size))
            info["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": pointer_size}
    return info


def info(repository: Repository, request: Request, revision: str) -> Response:
    """`GET /api/{type}s/{id}[/revision/{revision}]`."""
    commit = find_commit(repository, revision)
    data = card_data(commit.tree)
    answer = {
        "_id": commit.oid[:24],
        "id": repository.id,
        "author": repository.owner,
        "sha": commit.oid,
        "lastModified": timestamp(commit.date),
        "createdAt": timestamp(repository.created),
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": card_tags(data or {}),
        "siblings": [sibling(path, entry, request.flag("blobs")) for path, entry in sorted(commit.tree.items())],
    }
    if data is not None:
        answer["cardData"] = data
    if repository.type == "model":
        answer |= {"modelId": repository.id, "pipeline_tag": (data or {}).get("pipeline_tag")}
        answer["library_name"] = (data or {}).get("library_name")
    expand = request.query.get("expand", []) + request.query.get("expand[]", [])
    if expand:
        answer = {key: value for key, value in answer.items() if key in ("_id", "id", *expand)}
    return Response.json(answer)


def refs(repository: Repository, request: Request) -> Response:
    answer = {"branches": [], "converts": [], "tags": []}
    kinds = {"refs/heads/": "branches", "refs/tags/": "tags"}
    if "include_prs" in request.query:
        answer["pullRequests"], kinds["refs/pr/"] = [], "pullRequests"
    for ref, oid in sorted(repository.refs.items()):
        for start, kind in kinds.items():
            if ref.startswith(start):
                name = ref if kind == "pullRequests" else ref.removeprefix(start)
                answer[kind].append({"name": name, "ref": ref, "targetCommit": oid})
    return Response.json(answer)


def commits(repository: Repository, request: Request, revision: str, url: str, page_size: int) -> Response:
    history = repository.history(find_commit(repository, revision))
    page = int(request.query.get("p", ["0"])[0])
    headers = {}
    if (page + 1) * page_size < len(history):
        headers["Link"] = f'<{url}?{urlencode({"p": page + 1})}>; rel="next"'
    listed = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": timestamp(commit.date),
        }
        for commit in history[page * page_size : (page + 1) * page_size]
    ]
    return Response.json(listed, headers={"X-Total-Count": str(len(history)), **headers})


def branch(repository: Repository, request: Request, name: str) -> Response:
    """`POST` makes a branch, `DELETE` deletes it."""
    ref = f"refs/heads/{name}"
    if request.method == "POST":
        if ref in repository.refs:
            raise HubError(409, f"Reference already exists: {ref}")
        start = (request.json() if request.body else {}).get("startingPoint", "main")
        repository.refs[ref] = find_commit(repository, start).oid
        return Response.json({"success": True}, 201)
    if name == "main":
        raise HubError(403, "Cannot delete the main branch")
    if ref not in repository.refs:
        raise HubError(404, f"Reference does not exist: {ref}", "RevisionNotFound")
    del repository.refs[ref]
    return Response.json({"success": True})


def tag(repository: Repository, request: Request, name: str) -> Response:
    """`POST` tags the revision `name` with the body's `tag`, `DELETE` deletes the tag `name`."""
    if request.method == "POST":
        ref = f"refs/tags/{request.json()['tag']}"
        commit = find_commit(repository, name)
        if ref in repository.refs:
            raise HubError(409, f"Tag reference exists already: {ref}")
        repository.refs[ref] = commit.oid
        return Response.json({"success": True}, 201)
    if repository.refs.pop(f"refs/tags/{name}", None) is None:
        raise HubError(404, f"Tag does not exist: {name}", "RevisionNotFound")
    return Response.json({"success": True})


def settings(repository: Repository, request: Request) -> Response:
    body = request.json()
    if "visibility" in body or "private" in body:
        repository.private = body.get("visibility") == "private" or body.get("private") is True
    return Response.json({"private": repository.private})


def discussion_info(repository: Repository, discussion: Discussion) -> dict:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": timestamp(discussion.date),
        "status": discussion.status,
        "isPullRequest": discussion.is_pull_request,
        "repo": {"name": repository.id, "type": repository.type},
    }


def discussions(repository: Repository, request: Request) -> Response:
    """`GET` lists discussions and pull requests, newest first; `POST` opens one, a pull request as a draft."""
    if request.method == "POST":
        body = request.json()
        fields = {"description": body.get("description", ""), "is_pull_request": bool(body.get("pullRequest"))}
        opened = repository.open_discussion(body["title"], request.user, **fields)
        if opened.is_pull_request:
            opened.status = "draft"
            repository.refs[f"refs/pr/{opened.num}"] = repository.head.oid
        return Response.json({"num": opened.num, "pullRequest": opened.is_pull_request}, 201)
    found = list(reversed(repository.discussions))
    wanted = {"type": request.query.get("type", ["all"])[0], "status": request.query.get("status", ["all"])[0]}
    if wanted["type"] != "all":
        found = [item for item in found if item.is_pull_request == (wanted["type"] == "pull_request")]
    if wanted["status"] != "all":
        found = [item for item in found if (item.status in ("open", "draft")) == (wanted["status"] == "open")]
    start = 50 * int(request.query.get("p", ["0"])[0])
    page = [discussion_info(repository, item) for item in found[start : start + 50]]
    return Response.json({"discussions": page, "count": len(found), "start": start})


def discussion(repository: Repository, request: Request, rest: list[str], may_write: bool) -> Response:
    """`GET /{num}`, `POST /{num}/merge` and `POST /{num}/status`."""
    number = rest[0]
    if not number.isdigit() or not 1 <= int(number) <= len(repository.discussions):
        raise HubError(404, "Discussion not found")
    found = repository.discussions[int(number) - 1]
    if len(rest) > 1:
        if not may_write:
            raise HubError(403, "Forbidden")
        change(repository, request, found, rest[1])
        return Response.json({"success": True})
    comment = {"edited": False, "hidden": False, "latest": {"raw": found.description}}
    first = {"id": "0", "type": "comment", "createdAt": timestamp(found.date), "data": comment}
    answer = discussion_info(repository, found) | {"events": [first | {"author": {"name": found.author}}]}
    if found.is_pull_request:
        answer |= {"changes": {"base": f"refs/heads/{found.base}"}, "filesWithConflicts": [], "diff": ""}
        if found.merge_commit:
            answer["changes"]["mergeCommitId"] = found.merge_commit
    return Response.json(answer)


def change(repository: Repository, request: Request, found: Discussion, action: str) -> None:
    """Merges a pull request (its tree becomes the branch's, which must not have moved), or sets a status."""
    if action == "merge":
        head, base = repository.refs[f"refs/pr/{found.num}"], repository.refs[f"refs/heads/{found.base}"]
        if base not in [commit.oid for commit in repository.history(repository.commits[head])]:
            raise HubError(409, "This pull request has conflicts")
        repository.refs[f"refs/heads/{found.base}"] = found.merge_commit = head
        found.status = "merged"
    elif action == "status":
        found.status = request.json()["status"]
    else:
        raise HubError(404, f"Unknown action: {action}")

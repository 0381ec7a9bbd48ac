# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The test Hub itself: it starts and stops the servers, routes requests, and is what a test talks to directly."""

from __future__ import annotations

import re
import threading

from tests.hub_server import cards, commits, files, repositories
from tests.hub_server.access import Access
from tests.hub_server.faults import Faults
from tests.hub_server.http import HubError, Request, Response, Server
from tests.hub_server.store import Entry, Repository, Store

DEFAULT_PAGE_SIZE = 1000


class HubServer:
    """
    A Hub with two users, each with tokens: `user` (`token`, `read_token`) and `other_user` (`other_token`).

    Use it as a context manager, or call `start` and `stop`. `url` is the endpoint; `storage.url` is where large files
    are, another origin that refuses the Hub's tokens. `requests` is the log, `faults` makes things go wrong.
    `page_size` and `multipart_size` (bytes) may be made small to see clients page and upload in parts.
    """

    def __init__(self, user: str = "user", other_user: str = "other"):
        self.store = Store()
        self.access = Access(self.store)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.storage = files.Storage()
        self.page_size = DEFAULT_PAGE_SIZE
        self.multipart_size = commits.MULTIPART_SIZE
        self.user, self.other_user = user, other_user
        owner, other = self.access.add_user(user, organizations=(f"{user}-org",)), self.access.add_user(other_user)
        self.token, self.read_token = owner.new_token("write"), owner.new_token("read")
        self.other_token = other.new_token("write")
        self.failures: list[str] = []
        shared = (self.requests, self.faults, self.failures)
        self._servers = [Server(self._answer_api, *shared), Server(self._answer_storage, *shared)]
        self.url, self.storage.url = (server.url for server in self._servers)

    def start(self) -> HubServer:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> HubServer:
        return self.start()

    def __exit__(self, *exception) -> None:
        self.stop()

    # What tests look at, and change behind the clients' back.

    @property
    def tokens(self) -> list[str]:
        """All tokens: none of them may occur in anything that is written or printed."""
        return [token for user in self.access.users.values() for token in user.tokens]

    def repository(self, id: str, type: str = "dataset") -> Repository:
        repository = self.store.find(type, id)
        assert repository is not None, f"no {type} {id}"
        return repository

    def contents(self, id: str, type: str = "dataset", revision: str = "main") -> dict[str, bytes]:
        """Returns path -> content of all files of a revision."""
        repository = self.repository(id, type)
        tree = files.find_commit(repository, revision).tree
        return {path: repository.content(entry) for path, entry in tree.items()}

    def put(self, id: str, path: str, content: bytes, type: str = "dataset", listed_as: str = "file") -> str:
        """
        Commits one file to `main` as somebody else might, without any check; returns the hash of the commit.

        So a hostile repository is made: paths such as `../x`, and entries that listings call something else than
        "file" (a symlink's content is its target).
        """
        with self.store.lock:
            repository = self.repository(id, type)
            tree = repository.head.tree | {path: Entry.regular(content, type=listed_as)}
            return repository.commit("refs/heads/main", tree, f"Put {path}", self.other_user).oid

    def race(self, id: str, type: str = "dataset", path: str = "other.txt", times: int = 1) -> None:
        """Lets another commit land on `main` right before each of the next `times` commits by a client."""
        self.faults.add(
            r"/commit/", "POST", times, before=lambda: self.put(id, path, b"%d" % len(self.requests), type)
        )

    def log(self, method: str | None = None, path: str = "") -> list[Request]:
        """Returns the requests of this method whose path matches the regular expression."""
        return [one for one in list(self.requests) if method in (None, one.method) and re.search(path, one.path)]

    @property
    def writes(self) -> list[Request]:
        """Uploads of large files and commits, successful or not: a push that changes nothing makes none."""
        return self.log("PUT", "^/lfs-store/") + self.log("POST", "/commit/")

    # Routing

    def _answer_storage(self, request: Request) -> Response:
        with self.store.lock:
            return self.storage.answer(request)

    def _answer_api(self, request: Request) -> Response:
        self.access.identify(request)
        with self.store.lock:
            return self._route(request)

    def _route(self, request: Request) -> Response:
        parts = request.segments
        if parts[0] == "api":
            if parts[1] == "whoami-v2":
                return self._whoami(request)
            if parts[1] == "validate-yaml":
                return cards.validate_yaml(request)
            if parts[1] == "complete_multipart":
                return commits.complete_multipart(request, self.storage)
            if parts[1] == "repos" and parts[2] in ("create", "delete"):
                return self._create(request) if parts[2] == "create" else self._delete(request)
            if len(parts) >= 4 and parts[1].removesuffix("s") in ("model", "dataset", "space"):
                return self._api(request, parts[1].removesuffix("s"), f"{parts[2]}/{parts[3]}", parts[4:])
            raise HubError(404, "Sorry, we can't find the page you are looking for.")
        type = parts[0].removesuffix("s") if parts[0] in ("datasets", "spaces") else "model"
        parts = parts if type == "model" else parts[1:]
        if len(parts) >= 4:
            return self._page(request, type, f"{parts[0]}/{parts[1]}", parts[2:])
        raise HubError(404, "Sorry, we can't find the page you are looking for.")

    def _whoami(self, request: Request) -> Response:
        identity = self.access.signed_in(request)
        organizations = [{"type": "org", "name": name, "roleInOrg": "write"} for name in identity.user.organizations]
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": identity.role}}
        name = identity.user.name
        return Response.json({"type": "user", "name": name, "fullname": name, "orgs": organizations, "auth": token})

    def _create(self, request: Request) -> Response:
        type, id, identity = self.access.new_repository(request)
        body = request.json()
        repository, status = self.store.find(type, id), 409
        if repository is None:
            private = body.get("visibility") == "private" or bool(body.get("private"))
            repository, status = self.store.create(type, id, identity.user.name, private), 200
        answer = {"url": f"{self.url}/{repository.prefix}{repository.id}", "name": repository.id}
        if status == 409:
            answer["error"] = f"You already created this {type} repo"
        return Response.json(answer, status)

    def _delete(self, request: Request) -> Response:
        type, id, _ = self.access.new_repository(request)
        self.store.delete(self.access.writable(request, type, id))
        return Response.json({"success": True})

    def _api(self, request: Request, type: str, id: str, rest: list[str]) -> Response:
        """Everything below `/api/{type}s/{id}`."""
        action, *rest = rest or [""]
        if rest[:1] == ["refs"] and len(rest) >= 3:  # a revision `refs/pr/1` that is not quoted
            rest = ["/".join(rest[:3]), *rest[3:]]
        revision, path = (rest or ["main"])[0], "/".join(rest[1:])
        pull_request = request.flag("create_pr")
        if request.method in ("POST", "PUT", "DELETE") and action in ("commit", "preupload"):
            repository = self.access.writable(request, type, id, pull_request)
            if action == "preupload":
                return commits.preupload(repository, request, revision)
            return commits.commit(repository, request, revision, self.url)
        if request.method in ("POST", "PUT", "DELETE") and action in ("branch", "tag", "settings"):
            repository = self.access.writable(request, type, id)
            if action == "settings":
                return repositories.settings(repository, request)
            return (repositories.branch if action == "branch" else repositories.tag)(repository, request, rest[0])
        repository = self.access.readable(request, type, id)
        url = f"{self.url}{request.target}"
        if action in ("", "revision"):
            return repositories.info(repository, request, revision)
        if action == "tree":
            return files.tree(repository, request, revision, path, url, self.page_size)
        if action == "paths-info":
            return files.paths_info(repository, request, revision)
        if action == "refs":
            return repositories.refs(repository, request)
        if action == "commits":
            return repositories.commits(repository, request, revision, url, self.page_size)
        if action == "auth-check":
            if rest == ["write"]:
                self.access.writable(request, type, id)
            return Response.json({})
        if action == "discussions":
            return self._discussions(request, repository, rest)
        raise HubError(404, "Sorry, we can't find the page you are looking for.")

    def _discussions(self, request: Request, repository: Repository, rest: list[str]) -> Response:
        if request.method == "POST":
            self.access.signed_in(request)
        if not rest:
            return repositories.discussions(repository, request)
        may_write = self.access.identify(request).may_write(repository.owner)
        return repositories.discussion(repository, request, rest, may_write)

    def _page(self, request: Request, type: str, id: str, rest: list[str]) -> Response:
        """Files (`resolve`) and git-lfs, which are not below `/api`."""
        if rest[:3] == ["info", "lfs", "objects"] and id.endswith(".git"):
            id = id.removesuffix(".git")
            if rest[3:] == ["verify"]:
                return commits.lfs_verify(self.access.readable(request, type, id), request)
            # Without a ref it may be for a pull request, which needs no right to write.
            repository = self.access.writable(request, type, id, pull_request="ref" not in request.json())
            return commits.lfs_batch(repository, request, self.url, self.storage, self.multipart_size)
        if rest[0] == "resolve" and len(rest) >= 3 and request.method in ("GET", "HEAD"):
            if rest[1] == "refs" and len(rest) >= 5:
                rest = [rest[0], "/".join(rest[1:4]), *rest[4:]]
            repository = self.access.readable(request, type, id)
            return files.resolve(repository, request, rest[1], "/".join(rest[2:]), self.storage)
        raise HubError(404, "Entry not found", "EntryNotFound")

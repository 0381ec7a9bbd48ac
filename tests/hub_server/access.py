# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Who may do what on the test Hub, and the answers that the Hub gives to those who may not."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass, field

from tests.hub_server.http import HubError, Request
from tests.hub_server.store import REPO_TYPES, Repository, Store


@dataclass
class User:
    """`tokens` maps a token to its role, "write" or "read"; `organizations` are further namespaces of the user."""

    name: str
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    organizations: tuple[str, ...] = ()

    def new_token(self, role: str) -> str:
        token = "hf_" + "".join(secrets.choice(string.ascii_letters) for _ in range(34))
        self.tokens[token] = role
        return token

    def owns(self, namespace: str) -> bool:
        return namespace.lower() in (self.name.lower(), *(name.lower() for name in self.organizations))


@dataclass(frozen=True)
class Identity:
    """Who sends a request: a user with the role of the token, or nobody."""

    user: User | None
    role: str | None

    def may_read(self, repository: Repository) -> bool:
        return not repository.private or (self.user is not None and self.user.owns(repository.owner))

    def may_write(self, namespace: str) -> bool:
        return self.user is not None and self.role == "write" and self.user.owns(namespace)


class Access:
    """Identities and permissions. Checks return what they found, or raise the Hub's answer as `HubError`."""

    def __init__(self, store: Store):
        self.store = store
        self.users: dict[str, User] = {}

    def add_user(self, name: str, organizations: tuple[str, ...] = ()) -> User:
        self.users[name] = User(name, organizations=organizations)
        return self.users[name]

    def identify(self, request: Request) -> Identity:
        """A token nobody has is refused even where no token is needed."""
        if request.token is None:
            return Identity(None, None)
        for user in self.users.values():
            if request.token in user.tokens:
                request.user = user.name
                return Identity(user, user.tokens[request.token])
        raise HubError(401, "Invalid credentials in Authorization header")

    def signed_in(self, request: Request) -> Identity:
        identity = self.identify(request)
        if identity.user is None:
            raise HubError(401, "Invalid username or password.")
        return identity

    def readable(self, request: Request, type: str, id: str) -> Repository:
        """To those who may not read it, a private repository does not exist; without a token the answer is 401."""
        identity = self.identify(request)
        repository = self.store.find(type, id)
        if repository is None or not identity.may_read(repository):
            status = 401 if identity.user is None else 404
            raise HubError(status, "Repository not found", "RepoNotFound")
        return repository

    def writable(self, request: Request, type: str, id: str, pull_request: bool = False) -> Repository:
        """With `pull_request`, whoever may read and has a write token is let in."""
        repository = self.readable(request, type, id)
        identity = self.signed_in(request)
        if identity.role != "write":
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        if not pull_request and not identity.may_write(repository.owner):
            raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repository

    def new_repository(self, request: Request) -> tuple[str, str, Identity]:
        """Returns type, id and sender for a body of `/api/repos/create` or `/api/repos/delete`."""
        identity = self.signed_in(request)
        body = request.json()
        type, name = body.get("type") or "model", body.get("name") or ""
        namespace = body.get("organization") or identity.user.name
        if type not in REPO_TYPES:
            raise HubError(400, f"Invalid repository type: {type}")
        if not re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,95}", name) or "--" in name or ".." in name:
            raise HubError(400, f"Invalid repository name: {name}")
        if not identity.may_write(namespace):
            raise HubError(403, f'You don\'t have the rights to create a {type} under the namespace "{namespace}"')
        return type, f"{namespace}/{name}", identity

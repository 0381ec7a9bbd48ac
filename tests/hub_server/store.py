# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Repositories of the test Hub, in memory: commits, branches, tags, pull requests and large files.

Objects have the hashes git and git-lfs give them, so a client that compares hashes sees what it would on the Hub.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone

REPO_TYPES = ("model", "dataset", "space")
# What a new repository on the Hub starts with, without the rarer formats.
LFS_PATTERNS = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.gz *.h5 *.joblib *.model *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl "
    "*.pt *.pth *.rar *.safetensors *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*"
).split()
GIT_ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


def git_oid(kind: str, content: bytes) -> str:
    """Returns the SHA-1 that git gives an object of `kind` (blob, tree, commit) with this content."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(frozen=True)
class Entry:
    """A file of a tree. `type` is what listings call it; only a hostile repository has anything but "file"."""

    oid: str
    size: int
    content: bytes | None = None  # of a regular file
    sha256: str | None = None  # of a large file, whose content is `Repository.large[sha256]`
    type: str = "file"

    @classmethod
    def regular(cls, content: bytes, type: str = "file") -> Entry:
        return cls(git_oid("blob", content), len(content), content=content, type=type)

    @classmethod
    def large(cls, sha256: str, size: int) -> Entry:
        return cls(git_oid("blob", lfs_pointer(sha256, size)), size, sha256=sha256)

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


def folder_oids(tree: dict[str, Entry]) -> dict[str, str]:
    """Returns the git tree hash of every folder of `tree`, and of the root as `""`."""
    children: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for path, entry in tree.items():
        folder, _, name = path.rpartition("/")
        children.setdefault(folder, {})[name] = ("100644", entry.oid)
        while folder:
            children.setdefault(folder, {})
            folder = folder.rpartition("/")[0]
    oids = {}
    for folder in sorted(children, key=lambda path: -(path.count("/") + bool(path))):
        items = sorted(children[folder].items(), key=lambda item: item[0] + "/" * (item[1][0] == "40000"))
        content = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for name, (mode, oid) in items)
        oids[folder] = git_oid("tree", content)
        if folder:
            parent, _, name = folder.rpartition("/")
            children.setdefault(parent, {})[name] = ("40000", oids[folder])
    return oids


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    tree: dict[str, Entry]
    title: str
    message: str
    author: str
    date: datetime


@dataclass
class Discussion:
    num: int
    title: str
    author: str
    date: datetime
    description: str = ""
    is_pull_request: bool = True
    status: str = "open"
    base: str = "main"
    merge_commit: str | None = None


@dataclass
class Repository:
    """One repository. Refs are full names: `refs/heads/main`, `refs/tags/v1`, `refs/pr/1`."""

    type: str
    id: str
    private: bool = False
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # SHA-256 -> content
    discussions: list[Discussion] = field(default_factory=list)
    _clock: itertools.count = field(default_factory=itertools.count)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def prefix(self) -> str:
        """What comes before the id in URLs of pages: nothing for models, `datasets/` for datasets."""
        return "" if self.type == "model" else f"{self.type}s/"

    @property
    def head(self) -> Commit:
        return self.commits[self.refs["refs/heads/main"]]

    def ref(self, revision: str) -> str | None:
        """Returns the full name of the branch, tag or pull request, or None if there is none of that name."""
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((name for name in names if name in self.refs), None)

    def resolve(self, revision: str) -> Commit | None:
        """Returns the commit of a branch, a tag, `refs/pr/N` or a full or short hash, or None."""
        if (ref := self.ref(revision)) is not None:
            return self.commits[self.refs[ref]]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            found = [oid for oid in self.commits if oid.startswith(revision)]
            if len(found) == 1:
                return self.commits[found[0]]
        return None

    def commit(
        self, ref: str, tree: dict[str, Entry], title: str, author: str, message: str = "", parent: str | None = None
    ) -> Commit:
        """Puts a commit with `tree` on `ref`, made if it does not exist; `parent` is by default what it points to."""
        parent = parent or self.refs.get(ref)
        lines = [f"tree {folder_oids(tree)['']}", *([f"parent {parent}"] if parent else []), f"author {author}"]
        # A counter instead of the time of day: commits made within a second still have different hashes.
        lines += [f"date {next(self._clock)}", "", f"{title}\n\n{message}"]
        oid = git_oid("commit", "\n".join(lines).encode())
        commit = Commit(oid, parent, dict(tree), title, message, author, datetime.now(timezone.utc))
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit

    def history(self, commit: Commit) -> list[Commit]:
        """Returns `commit` and its ancestors, newest first."""
        commits = [commit]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def content(self, entry: Entry) -> bytes:
        return self.large[entry.sha256] if entry.sha256 else entry.content

    def open_discussion(self, title: str, author: str, **fields) -> Discussion:
        discussion = Discussion(len(self.discussions) + 1, title, author, datetime.now(timezone.utc), **fields)
        self.discussions.append(discussion)
        return discussion


class Store:
    """All repositories. Every request that reads or changes them holds `lock`, so a commit is atomic."""

    def __init__(self):
        self.lock = threading.RLock()
        self.repositories: dict[tuple[str, str], Repository] = {}

    def find(self, type: str, id: str) -> Repository | None:
        """Names are the same whatever their case, as on the Hub."""
        return self.repositories.get((type, id.lower()))

    def create(self, type: str, id: str, author: str, private: bool = False) -> Repository:
        repository = Repository(type, id, private)
        repository.commit(
            "refs/heads/main", {".gitattributes": Entry.regular(GIT_ATTRIBUTES)}, "initial commit", author
        )
        self.repositories[type, id.lower()] = repository
        return repository

    def delete(self, repository: Repository) -> None:
        del self.repositories[repository.type, repository.id.lower()]

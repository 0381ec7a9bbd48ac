# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which files a repository of distilled sets consists of, and how one is fetched."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoSibling

from ..errors import UserError
from .connection import TransferError

DATA = re.compile(r"(dpc_\d+)/train(?:-(\d{5})-of-(\d{5}))?\.parquet")
RECORDS = re.compile(r"README\.md|metadata\.json|checks\.json|results/[\w-][\w.-]*\.json")
MAX_RECORD = 64 * 2**20  # bytes


def data_files(names: Iterable[str]) -> dict[str, list[str]]:
    """
    Returns the data files of every configuration, by ascending number: `train.parquet`, or else all its shards, as
    `Dataset.push_to_hub` writes them.

    Raises:
        UserError: shards are missing.
    """
    found: dict[str, list[re.Match]] = {}
    for name in names:
        if match := DATA.fullmatch(name):
            found.setdefault(match[1], []).append(match)
    files = {}
    for config in sorted(found, key=lambda name: int(name.removeprefix("dpc_"))):
        whole = [match[0] for match in found[config] if match[2] is None]
        shards = sorted(match[0] for match in found[config])
        total = int(found[config][0][3] or 0)
        if not whole and [f"{config}/train-{i:05d}-of-{total:05d}.parquet" for i in range(total)] != shards:
            raise UserError(f"of {config} there are {len(shards)} files that are not all of its shards")
        files[config] = whole or shards
    return files


def hash_of(sibling: RepoSibling) -> str | None:
    """The SHA-256 of a large file or the Git hash of a small one, as the Hub lists it."""
    return sibling.lfs.sha256 if sibling.lfs else sibling.blob_id


def download(api: HfApi, repo_id: str, sibling: RepoSibling, commit: str, repo_type: str = "dataset") -> Path:
    """
    Returns the cached file of a repository, which has the hash that the Hub lists: the client compares sizes only.

    Raises:
        TransferError: it has not arrived as it is there.
    """
    name = sibling.rfilename
    try:
        path = Path(api.hf_hub_download(repo_id, name, repo_type=repo_type, revision=commit))
    except OSError as error:
        if type(error) is OSError and error.errno is None:  # how the client says that a file is too short
            raise TransferError(f"'{name}' did not arrive whole") from error
        raise
    if not _has_hash(path, hash_of(sibling)):
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise TransferError(f"'{name}' arrived damaged")
    return path


def _has_hash(path: Path, expected: str | None) -> bool:
    if expected is None:
        return True
    content = path.read_bytes()
    if len(expected) == 64:
        return hashlib.sha256(content).hexdigest() == expected
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == expected

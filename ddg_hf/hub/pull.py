# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Fetches distilled sets from the Hub. Nothing but known files is taken, and no code is run."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from huggingface_hub import HfApi

from ..errors import UserError, closest
from ..formats.directory import CONFIG, open_distilled
from ..provenance import METADATA_FILE, atomic_directory, write_json
from .connection import TransferError, check_repo_id, with_retries

# Everything that is fetched. Other files of a repository are left alone, whatever they are called.
_DATA = re.compile(r"(dpc_\d+)/train(-\d{5}-of-\d{5})?\.parquet")
_RECORDS = re.compile(r"README\.md|metadata\.json|checks\.json|results/[\w-][\w.-]*\.json")
_MAX_RECORD = 64 * 2**20  # bytes


def published_configs(repo_id: str, revision: str | None = None) -> list[str]:
    """
    Returns the names of the configurations that a repository has, `dpc_<n>`, by ascending n.

    Raises:
        UserError: no such repository or revision, no access, or no distilled sets in it.
    """
    return list(_listing(repo_id, revision).data)


@dataclass(frozen=True)
class _Listing:
    """What a repository holds: its commit, data files by configuration, records, and hashes by file."""

    commit: str
    data: dict[str, list[str]]
    records: list[str]
    hashes: dict[str, str]


def _listing(repo_id: str, revision: str | None) -> _Listing:
    check_repo_id(repo_id)
    api = HfApi(library_name="ddg_hf")
    info = with_retries(
        lambda: api.repo_info(repo_id, repo_type="dataset", revision=revision, files_metadata=True),
        f"read '{repo_id}'" + (f" at '{revision}'" if revision else ""),
    )
    data: dict[str, list[str]] = {}
    records, hashes = [], {}
    for sibling in sorted(info.siblings or (), key=lambda sibling: sibling.rfilename):
        if match := _DATA.fullmatch(sibling.rfilename):
            data.setdefault(match[1], []).append(sibling.rfilename)
        elif _RECORDS.fullmatch(sibling.rfilename):
            if (sibling.size or 0) > _MAX_RECORD:
                raise UserError(
                    f"'{sibling.rfilename}' of '{repo_id}' has {sibling.size} bytes, too many for a record"
                )
            records.append(sibling.rfilename)
        hashes[sibling.rfilename] = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    if not data:
        raise UserError(f"'{repo_id}' holds no distilled sets: there is no dpc_<n>/train.parquet in it")
    ordered = sorted(data, key=lambda name: int(CONFIG.fullmatch(name)[1]))
    return _Listing(info.sha, {name: data[name] for name in ordered}, records, hashes)


def fetch(repo_id: str, config: str | None = None, revision: str | None = None) -> tuple[str, dict[str, Path]]:
    """
    Downloads the files of distilled sets into the Hub's cache; what is there already is not downloaded again.

    Args:
        repo_id: `user/name`.
        config: One configuration; by default all.
        revision: Branch, tag, commit or `refs/pr/<n>`; `main` by default.

    Returns:
        The commit, and the cached file of every path in the repository.

    Raises:
        UserError: no such repository, revision or configuration, no access, or the Hub cannot be reached.
    """
    listing = _listing(repo_id, revision)
    data = listing.data
    if config is not None and config not in data:
        raise UserError(f"'{repo_id}' has no '{config}'.{closest(config, data)} It has {', '.join(data)}.")
    chosen = [data[config]] if config else data.values()
    names = [*listing.records, *(name for found in chosen for name in found)]
    api = HfApi(library_name="ddg_hf")

    def download() -> dict[str, Path]:
        return {name: _download(api, repo_id, name, listing) for name in names}

    return listing.commit, with_retries(download, f"fetch '{repo_id}'")


def _download(api: HfApi, repo_id: str, name: str, listing: _Listing) -> Path:
    """The cached file, which has the hash that the Hub lists: the client compares sizes only."""
    try:
        path = Path(api.hf_hub_download(repo_id, name, repo_type="dataset", revision=listing.commit))
    except OSError as error:
        if type(error) is OSError and error.errno is None:  # how the client says that a file is too short
            raise TransferError(f"'{name}' did not arrive whole") from error
        raise
    if not _has_hash(path, listing.hashes[name]):
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise TransferError(f"'{name}' arrived damaged")
    return path


def _has_hash(path: Path, expected: str | None) -> bool:
    """Whether a file has the SHA-256 or, of a small one, the Git hash that the Hub lists."""
    content = path.read_bytes()
    if expected is None:
        return True
    if len(expected) == 64:
        return hashlib.sha256(content).hexdigest() == expected
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == expected


def pull_distilled(
    repo_id: str,
    directory: str | Path,
    config: str | None = None,
    revision: str | None = None,
) -> Path:
    """
    Fetches distilled sets into a directory like the one that was published. It is there whole or not at all.

    Args:
        repo_id: `user/name`.
        directory: Where they go; a directory with distilled sets is replaced.
        config: One configuration; by default all.
        revision: Branch, tag, commit or `refs/pr/<n>`; `main` by default.

    Returns:
        The directory.

    Raises:
        UserError: as [`fetch`], or files that are no distilled sets ([`~ddg_hf.formats.directory.open_distilled`]).
    """
    directory = Path(directory).expanduser()
    with atomic_directory(directory) as temporary:
        commit, files = fetch(repo_id, config, revision)
        for name, cached in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not _DATA.fullmatch(name):
                shutil.copyfile(cached, path)
        for name in sorted({name.split("/")[0] for name in files if _DATA.fullmatch(name)}):
            _one_file([path for key, path in files.items() if key.startswith(f"{name}/")], temporary / name)
        record = temporary / METADATA_FILE
        metadata = _read_record(record, repo_id) if record.is_file() else {}
        write_json(record, {**metadata, "pulled": {"repository": repo_id, "revision": revision, "commit": commit}})
        open_distilled(temporary)
    return directory


def _one_file(shards: list[Path], folder: Path) -> None:
    """Writes `train.parquet`: the file as it is, or several shards as one."""
    target = folder / "train.parquet"
    if len(shards) == 1:
        shutil.copyfile(shards[0], target)
        return
    try:
        pq.write_table(pa.concat_tables([pq.read_table(shard) for shard in shards]), target, compression="zstd")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"the files of {folder.name} cannot be read as one: {' '.join(str(error).split())}") from error


def _read_record(path: Path, repo_id: str) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path.name} of '{repo_id}' is not JSON: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} of '{repo_id}' does not hold a JSON object")
    return content


def load_demonstrations(
    source: str | Path, config: str | None = None, split: str = "train", revision: str | None = None
) -> Dataset:
    """
    Loads distilled sets: the rows and features that `datasets.load_dataset(source, config, split=split)` gives.

    Args:
        source: A directory of distilled sets, or `user/name` on the Hub.
        config: `dpc_<n>`; the first one by default.
        split: Distilled sets have one split, `train`.
        revision: Branch, tag, commit or `refs/pr/<n>` of a repository.

    Raises:
        UserError: nothing there, no such configuration, split or revision, or a broken file.
    """
    if split != "train":
        raise UserError(f"distilled sets have one split, 'train'; there is no '{split}'")
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"'{source}' is a directory; a revision belongs to a repository on the Hub")
        directory = open_distilled(folder)
        config = config or directory.configs[0]
        directory.table(config)  # says what there is, if this is not
        paths = [folder / config / "train.parquet"]
    else:
        config = config or published_configs(str(source), revision)[0]
        files = fetch(str(source), config, revision)[1]
        paths = [path for name, path in files.items() if _DATA.fullmatch(name)]
    try:
        return Dataset(pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths]))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"cannot read {config} of '{source}': {' '.join(str(error).split())}") from error

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Fetches distilled sets from the Hub. Nothing but known files is taken, and no code is run."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoSibling

from ..cards.card import CARD_FILE, read_card
from ..errors import UserError, closest
from ..formats.directory import open_distilled
from ..provenance import METADATA_FILE, atomic_directory, write_json
from ..quality import CHECKS_FILE, is_current
from .connection import check_repo_id, with_retries
from .files import DATA, MAX_RECORD, RECORDS, data_files, download
from .remote import target_of

# What a directory of distilled sets consists of.
_SETS = re.compile(r"dpc_\d+|README\.md|metadata\.json|checks\.json|results")


@dataclass(frozen=True)
class _Listing:
    """What a repository holds: its commit, the data files by configuration, records, and what is known of each."""

    commit: str
    data: dict[str, list[str]]
    records: list[str]
    siblings: dict[str, RepoSibling]


def published_configs(repo_id: str, revision: str | None = None) -> list[str]:
    """
    Returns the names of the configurations that a repository has, `dpc_<n>`, by ascending n.

    Raises:
        UserError: no such repository or revision, no access, or no distilled sets in it.
    """
    return list(_listing(repo_id, revision).data)


def _listing(repo_id: str, revision: str | None) -> _Listing:
    check_repo_id(repo_id)
    api = HfApi(library_name="ddg_hf")
    info = with_retries(
        lambda: api.repo_info(repo_id, repo_type="dataset", revision=revision, files_metadata=True),
        f"read '{repo_id}'" + (f" at '{revision}'" if revision else ""),
    )
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    try:
        data = data_files(siblings)
    except UserError as error:
        raise UserError(f"'{repo_id}' is not whole: {error}") from error
    if not data:
        raise UserError(f"'{repo_id}' holds no distilled sets: there is no dpc_<n>/train.parquet in it")
    records = sorted(name for name in siblings if RECORDS.fullmatch(name))
    for name in records:
        if (siblings[name].size or 0) > MAX_RECORD:
            raise UserError(f"'{name}' of '{repo_id}' has {siblings[name].size} bytes, too many for a record")
    return _Listing(info.sha, data, records, siblings)


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

    def download_all() -> dict[str, Path]:
        return {name: download(api, repo_id, listing.siblings[name], listing.commit) for name in names}

    return listing.commit, with_retries(download_all, f"fetch '{repo_id}'")


def pull_distilled(
    repo_id: str,
    directory: str | Path,
    config: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> Path:
    """
    Fetches distilled sets into a directory like the one that was published. It is there whole or not at all.

    Args:
        repo_id: `user/name`.
        directory: Where they go.
        config: One configuration; by default all.
        revision: Branch, tag, commit or `refs/pr/<n>`; `main` by default.
        overwrite: Replace distilled sets that are there. Nothing else is ever replaced.

    Returns:
        The directory.

    Raises:
        UserError: as [`fetch`], files that are no distilled sets ([`~ddg_hf.formats.directory.open_distilled`]), or
            something is there.
    """
    directory = Path(directory).expanduser()
    _check_free(directory, overwrite)
    with atomic_directory(directory) as temporary:
        commit, files = fetch(repo_id, config, revision)
        for name, cached in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not DATA.fullmatch(name):
                shutil.copyfile(cached, path)
        for name, shards in data_files(files).items():
            _one_file([files[shard] for shard in shards], temporary / name)
        record = temporary / METADATA_FILE
        metadata = _read_record(record, repo_id) if record.is_file() else {}
        source = {"repository": repo_id, "config": config, "revision": revision, "commit": commit}
        write_json(record, {**metadata, "pulled": source})
        try:
            sets = open_distilled(temporary)
        except UserError as error:  # under the name that the user knows
            raise UserError(str(error).replace(str(temporary), repo_id)) from error
        _note_source(temporary / CARD_FILE, target_of(repo_id, revision))
        checks = temporary / CHECKS_FILE
        if checks.is_file() and not is_current(_read_record(checks, repo_id), sets):
            checks.unlink()  # of all configurations, where one was fetched, or of rows that are no longer there
    return directory


def _check_free(directory: Path, overwrite: bool) -> None:
    """Raises `UserError` unless a directory is free or holds distilled sets that may be replaced."""
    if directory.exists() and not directory.is_dir():
        raise UserError(f"'{directory}' is a file; give a directory")
    if not directory.is_dir() or not any(directory.iterdir()):
        return
    if not overwrite:
        raise UserError(f"'{directory}' is there already; pass --overwrite to replace the sets in it, or another name")
    foreign = [path.name for path in directory.iterdir() if not _SETS.fullmatch(path.name)]
    if foreign:
        raise UserError(f"'{directory}' holds more than distilled sets ('{foreign[0]}'), which alone are replaced")
    try:
        open_distilled(directory)
    except UserError as error:
        raise UserError(
            f"'{directory}' holds no distilled sets, and nothing else is replaced; give another"
        ) from error


def _note_source(path: Path, target: str) -> None:
    """Notes in a card that this copy is the same as the published one, so that later edits of either are seen."""
    if not path.is_file():
        return
    try:
        card = read_card(path.read_bytes(), "")
    except UserError:  # whatever it is: it is not ours to mend, and nothing needs it
        return
    path.write_text(str(card.at(target)), encoding="utf-8", newline="\n")


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
        paths = [path for name, path in files.items() if DATA.fullmatch(name)]
    try:
        return Dataset(pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths]))
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise UserError(f"cannot read {config} of '{source}': {' '.join(str(error).split())}") from error

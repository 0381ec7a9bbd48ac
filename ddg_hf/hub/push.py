# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishes distilled sets as a dataset repository, in one commit."""

import contextlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from ..cards.card import CARD_FILE, Card
from ..cards.dataset_card import dataset_card, read_local_card
from ..cards.results import Evaluation, as_evaluation, read_evaluation
from ..errors import UserError
from ..evaluation.results import dump_readable
from ..formats.directory import DistilledDirectory, open_distilled
from ..provenance import METADATA_FILE, atomic_file, published_record
from ..quality import CHECKS_FILE, checks_markdown, is_current
from .connection import check_no_token, check_repo_id, commit_whole, needed_token, with_retries
from .files import DATA
from .remote import Remote, make_ready, read_remote, target_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """
    What a push has done.

    Attributes:
        url: The commit, or the pull request.
        commit: Its hash.
        changed: Whether there was anything to publish: otherwise `commit` is what was there already.
    """

    url: str
    commit: str
    changed: bool


def push_distilled(
    directory: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    results: Sequence[str | Path] = (),
    license: str | None = None,
    prefer_card: str | None = None,
    commit_message: str | None = None,
) -> Published:
    """
    Publishes the sets of a directory as the dataset repository `repo_id`, which is made if there is none.

    Everything goes up in one commit on top of the newest one, so that the repository is as it was or complete. Where
    nothing has changed, nothing is done. Configurations that are no longer there are removed, and so are results and
    checks of other rows; other people's files stay. The token is that of `hf auth login` or `HF_TOKEN`.

    Args:
        directory: What `ddg-hf generate`, `convert` or `pull` wrote.
        repo_id: `user/name`.
        private: Whether a repository that is made now is private; otherwise it is what its owner makes by default.
        revision: Branch to publish on, made if there is none; `main` by default.
        create_pr: Open a pull request instead of changing the branch.
        results: Directories of evaluations (or their `results.json`) that the card shows, beside those that were
            published before and are of the same rows.
        license: License of the sets, for example `mit`; by default the one that the card has.
        prefer_card: `local` or `hub`: whose part to keep where the card was edited in both places.
        commit_message: First line of the commit message.

    Returns:
        Where it is.

    Raises:
        UserError: the directory or the results cannot be used, there is no token, the Hub refuses or cannot be
            reached, or the card was edited in both places.
    """
    check_repo_id(repo_id)
    if revision is not None and (revision.startswith("refs/") or re.fullmatch(r"[0-9a-f]{40}", revision)):
        raise UserError(f"--revision '{revision}' is no branch (--create_pr opens a pull request)")
    sets = open_distilled(directory)
    given = [read_evaluation(source, sets) for source in results]
    files = _files(sets)
    local = read_local_card(sets.path)
    token = needed_token()
    _check_no_token_in_texts(sets, token)
    api = HfApi(library_name="ddg_hf")
    first: list[str | None] = []  # what was there before the first attempt

    def publish() -> Published:
        remote = read_remote(api, repo_id, revision)
        first.append(remote.commit)
        _check_whole(sets, repo_id, remote)
        evaluations, records = _records(sets, given, remote)
        content = {**files, **records}
        report = checks_markdown(json.loads(content[CHECKS_FILE])) if CHECKS_FILE in content else None
        card = dataset_card(
            sets, evaluations, report, repo_id, license, local, remote.card, remote.target, prefer_card
        ).at(target_of(repo_id, revision))
        content[CARD_FILE] = str(card).encode()
        check_no_token(content, token)
        parent = make_ready(api, repo_id, revision, remote, private, create_pr, card)
        # An addition cannot be used twice.
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in content.items()]
        operations += [CommitOperationDelete(path_in_repo=name) for name in sorted(remote.ours - content.keys())]
        info = commit_whole(
            api,
            repo_id,
            operations,
            repo_type="dataset",
            commit_message=commit_message or f"Distilled sets: {', '.join(sets.configs)}",
            revision=revision,
            create_pr=create_pr,
            parent_commit=parent,
        )
        if not create_pr:
            _keep_card(sets.path, card)
        return Published(info.pr_url or info.commit_url, info.oid, info.oid != first[0])

    return with_retries(publish, f"publish '{repo_id}'")


# ---- what is published ----


def _files(sets: DistilledDirectory) -> dict[str, bytes]:
    """Content of the data, the record and the checks, by the path in the repository."""
    files = {f"{config}/train.parquet": (sets.path / config / "train.parquet").read_bytes() for config in sets.configs}
    if sets.metadata:
        files[METADATA_FILE] = _dump(sets.metadata, METADATA_FILE)
    path = sets.path / CHECKS_FILE
    if path.is_symlink():
        raise UserError(f"'{path}' is a symbolic link, which is not followed; copy what it points to")
    if path.is_file():
        try:
            checks = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"'{path}' is not JSON; remove it or run `ddg-hf check` again") from error
        if not is_current(checks, sets):
            raise UserError(f"'{path}' is of other rows; remove it or run `ddg-hf check` again")
        files[CHECKS_FILE] = _dump(checks, CHECKS_FILE)
    return files


def _dump(content: Any, name: str) -> bytes:
    try:
        return dump_readable(published_record(content)).encode()
    except ValueError as error:
        raise UserError(f"{name} has a number that is not finite, which JSON cannot hold; write null there") from error


def _records(
    sets: DistilledDirectory, given: Sequence[Evaluation], remote: Remote
) -> tuple[list[Evaluation], dict[str, bytes]]:
    """The evaluations that the card shows, and the files of these and of checks that are published still to hold."""
    shown: dict[str, Evaluation] = {}
    for path, content in remote.records.items():
        if path.startswith("results/") and path in remote.ours:
            with contextlib.suppress(UserError):  # of rows that are no longer there: it goes with them
                shown[path] = as_evaluation(content, sets, f"'{path}'")
    names = {evaluation.identity: path for path, evaluation in shown.items()}
    for evaluation in given:
        path, number = names.get(evaluation.identity, f"results/{evaluation.file}"), 2
        while path in shown and shown[path].identity != evaluation.identity or path in remote.names - remote.ours:
            path = f"results/{evaluation.file.removesuffix('.json')}_{number}.json"
            number += 1
        shown[path], names[evaluation.identity] = evaluation, path
    files = {path: _dump(evaluation.content, path) for path, evaluation in shown.items()}
    if not (sets.path / CHECKS_FILE).is_file() and is_current(remote.records.get(CHECKS_FILE, {}), sets):
        files[CHECKS_FILE] = _dump(remote.records[CHECKS_FILE], CHECKS_FILE)
    return list(shown.values()), files


def _check_no_token_in_texts(sets: DistilledDirectory, token: str) -> None:
    """What is compressed in a Parquet file cannot be seen in its bytes."""
    for config in sets.configs:
        for column in sets.spec.text_columns:
            if pc.any(pc.match_substring(sets.table(config)[column], token)).as_py():
                raise UserError(f"a text of {config} contains your token of the Hub: remove it before you publish")


def _check_whole(sets: DistilledDirectory, repo_id: str, remote: Remote) -> None:
    """Raises `UserError` if a push would remove what a pull has left out, or replace what is somebody else's."""
    pulled = sets.metadata.get("pulled")
    there = {match[1] for name in remote.ours if (match := DATA.fullmatch(name))}
    partial = isinstance(pulled, dict) and pulled.get("config") and pulled.get("repository") == repo_id
    if partial and there.difference(sets.configs):
        raise UserError(
            f"'{sets.path}' holds only {pulled['config']} of '{repo_id}'; pull all of it before you publish it there"
        )
    replaced = {METADATA_FILE, CHECKS_FILE, *(f"{config}/train.parquet" for config in sets.configs)}
    foreign = sorted(replaced & (remote.names - remote.ours))
    if foreign:
        raise UserError(
            f"'{repo_id}' has a {foreign[0]} that this package has not written and that would be replaced; publish "
            "under another name"
        )


def _keep_card(directory: Path, card: Card) -> None:
    """Writes the published card into the directory, so that later edits, here or there, are seen as such."""
    path, content = directory / CARD_FILE, str(card).encode()
    try:
        if not path.is_file() or path.read_bytes() != content:
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        logger.warning("'%s' could not be brought up to what is published: %s", path, error.strerror or error)

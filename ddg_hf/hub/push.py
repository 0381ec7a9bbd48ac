# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishes distilled sets as a dataset repository, in one commit."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from ..cards.dataset_card import CARD_FILE, dataset_card, read_local_card
from ..cards.results import Evaluation, read_evaluation
from ..cards.text import read_card
from ..errors import UserError
from ..evaluation.results import atomic_file, dump_readable
from ..formats.directory import DistilledDirectory, open_distilled
from ..provenance import METADATA_FILE, published_record
from ..quality import CHECKS_FILE, checks_markdown, is_current
from .connection import check_no_token, check_repo_id, commit_whole, with_retries

# Files that a push may remove again: those of configurations that are no longer there.
_OURS = re.compile(r"dpc_\d+/train\.parquet")


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


@dataclass(frozen=True)
class Remote:
    """
    What is published already.

    Attributes:
        commit: Hash of the newest commit.
        card: Its card, or `None`.
        files: Paths of its files.
    """

    commit: str
    card: DatasetCard | None = None
    files: frozenset[str] = field(default_factory=frozenset)


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
    nothing has changed, nothing is done. Configurations that are no longer there are removed; other people's files
    stay. The token is that of `hf auth login` or `HF_TOKEN`.

    Args:
        directory: What `ddg-hf generate`, `convert` or `pull` wrote.
        repo_id: `user/name`.
        private: Whether a repository that is made now is private. One that is there stays what it is.
        revision: Branch to publish on, made if there is none; `main` by default.
        create_pr: Open a pull request instead of changing the branch.
        results: Directories of evaluations (or their `results.json`) that the card shows.
        license: License of the sets, for example `mit`; by default the one that the card has.
        prefer_card: `local` or `hub`: whose text to keep where the card was edited in both places.
        commit_message: First line of the commit message.

    Returns:
        Where it is.

    Raises:
        UserError: the directory or the results cannot be used, there is no token, the Hub refuses or cannot be
            reached, or the card was edited in both places.
    """
    check_repo_id(repo_id)
    sets = open_distilled(directory)
    evaluations = _evaluations(results, sets)
    fixed = _files(sets, evaluations)
    if get_token() is None:
        raise UserError("you are not logged in to the Hub: use `hf auth login` or set HF_TOKEN")
    api = HfApi(library_name="ddg_hf")
    message = commit_message or f"Distilled sets: {', '.join(sets.configs)}"
    checks = _checks_markdown(sets)

    def publish() -> Published:
        remote = _remote(api, repo_id, revision, private, may_create=not create_pr)
        card = dataset_card(
            sets, evaluations, checks, repo_id, license, read_local_card(sets.path), remote.card, prefer_card
        )
        stale = [name for name in remote.files if _OURS.fullmatch(name) and name not in fixed]
        content = {**fixed, CARD_FILE: card.encode()}
        check_no_token(content)
        # An addition cannot be used twice.
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in content.items()]
        operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        info = commit_whole(
            api,
            repo_id,
            operations,
            repo_type="dataset",
            commit_message=message,
            revision=revision,
            create_pr=create_pr,
            parent_commit=remote.commit,
        )
        changed = info.oid != remote.commit
        if not create_pr:
            _keep_card(sets.path, card)
        return Published(info.pr_url or info.commit_url, info.oid, changed)

    return with_retries(publish, f"publish '{repo_id}'")


def _evaluations(results: Sequence[str | Path], sets: DistilledDirectory) -> list[Evaluation]:
    found = [read_evaluation(source, sets.spec) for source in results]
    for source, evaluation in zip(results, found, strict=True):
        for entry in evaluation.content["aggregates"]:
            if f"dpc_{entry['dpc']}" not in sets.configs:
                raise UserError(f"'{source}' has results of dpc_{entry['dpc']}, which '{sets.path}' does not have")
    names = [evaluation.file for evaluation in found]
    # Two evaluations of one model: with other queries, scoring or split.
    return [
        evaluation
        if names.index(evaluation.file) == i
        else Evaluation(f"{evaluation.file.removesuffix('.json')}_{i}.json", evaluation.content)
        for i, evaluation in enumerate(found)
    ]


def _files(sets: DistilledDirectory, evaluations: Sequence[Evaluation]) -> dict[str, bytes]:
    """Content of every file but the card, by its path in the repository."""
    files = {f"{config}/train.parquet": (sets.path / config / "train.parquet").read_bytes() for config in sets.configs}
    if sets.metadata:
        files[METADATA_FILE] = dump_readable(published_record(sets.metadata)).encode()
    if (sets.path / CHECKS_FILE).is_file():
        files[CHECKS_FILE] = (sets.path / CHECKS_FILE).read_bytes()
    for evaluation in evaluations:
        files[f"results/{evaluation.file}"] = dump_readable(published_record(evaluation.content)).encode()
    return files


def _checks_markdown(sets: DistilledDirectory) -> str | None:
    """The report of `ddg-hf check` in the directory, or `None` if there is none."""
    path = sets.path / CHECKS_FILE
    if not path.is_file():
        return None
    try:
        checks = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON; remove it or run `ddg-hf check` again") from error
    if not is_current(checks, sets):
        raise UserError(f"'{path}' is of other rows; remove it or run `ddg-hf check` again")
    return checks_markdown(checks)


def _remote(api: HfApi, repo_id: str, revision: str | None, private: bool, may_create: bool) -> Remote:
    """What is published, after making sure that repository and branch are there."""
    try:
        info = api.repo_info(repo_id, repo_type="dataset", revision=revision)
    except RevisionNotFoundError:
        if not may_create:
            raise
        api.create_branch(repo_id, repo_type="dataset", branch=str(revision), exist_ok=True)
        info = api.repo_info(repo_id, repo_type="dataset", revision=revision)
    except RepositoryNotFoundError:
        if not may_create:
            raise
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        if revision not in (None, "main"):
            api.create_branch(repo_id, repo_type="dataset", branch=revision, exist_ok=True)
        info = api.repo_info(repo_id, repo_type="dataset", revision=revision)
    files = frozenset(sibling.rfilename for sibling in info.siblings or ())
    card = None
    if CARD_FILE in files:
        # Of this very commit: the commit is made on top of it.
        path = api.hf_hub_download(repo_id, CARD_FILE, repo_type="dataset", revision=info.sha)
        try:
            content = Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"README.md of '{repo_id}' is not UTF-8 text; mend or remove it there") from error
        card = read_card(content, f"of '{repo_id}'")
    return Remote(info.sha, card, files)


def _keep_card(directory: Path, card: str) -> None:
    """Writes the published card into the directory, so that later edits, here or there, are seen as such."""
    path = directory / CARD_FILE
    if not path.is_file() or path.read_text(encoding="utf-8-sig") != card:
        with atomic_file(path) as temporary:
            temporary.write_text(card, encoding="utf-8")

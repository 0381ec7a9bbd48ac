# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a dataset repository holds before a push, and making it ready for one."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from ..cards.card import CARD_FILE, Card, read_card
from ..cards.results import is_whole
from ..errors import UserError
from ..provenance import METADATA_FILE
from ..quality import CHECKS_FILE
from .files import DATA, MAX_RECORD, download

_RESULTS = re.compile(r"results/(icl|learner)_[\w.-]*\.json")


@dataclass(frozen=True)
class Remote:
    """
    What is published on a branch; if there is no such branch yet, on the one that it will begin from.

    Attributes:
        commit: Hash of the newest commit, `None` where there is no repository.
        branch_missing: Whether the branch has to be made.
        private: Whether the repository is private.
        target: Where this is, `user/name@branch`.
        card: Its card, or `None`.
        records: Content of its JSON records.
        names: Paths of all files.
        ours: Those that this package has written.
    """

    commit: str | None = None
    branch_missing: bool = False
    private: bool = False
    target: str = ""
    card: Card | None = None
    records: dict[str, Any] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()


def target_of(repo_id: str, revision: str | None) -> str:
    """The name of a branch of a repository."""
    return f"{repo_id}@{revision or 'main'}"


def read_remote(api: HfApi, repo_id: str, revision: str | None) -> Remote:
    """
    Returns what is published.

    Raises:
        UserError: `revision` is no branch, or a record is too large or a card cannot be read.
    """
    missing = False
    if revision not in (None, "main"):
        try:
            refs = api.list_repo_refs(repo_id, repo_type="dataset")
        except RepositoryNotFoundError:
            return Remote()
        if revision in [tag.name for tag in refs.tags]:
            raise UserError(f"'{revision}' of '{repo_id}' is no branch but a tag; publish on a branch")
        missing = revision not in [branch.name for branch in refs.branches]
    begin = None if missing else revision
    try:
        info = api.repo_info(repo_id, repo_type="dataset", revision=begin, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return Remote()
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}

    def content(name: str) -> bytes:
        if (siblings[name].size or 0) > MAX_RECORD:
            raise UserError(f"'{name}' of '{repo_id}' has {siblings[name].size} bytes, too many for a record")
        return download(api, repo_id, siblings[name], info.sha).read_bytes()

    card = read_card(content(CARD_FILE), f"of '{repo_id}'") if CARD_FILE in siblings else None
    records = {}
    for name in siblings:
        if name in (CHECKS_FILE, METADATA_FILE) or _RESULTS.fullmatch(name):
            try:
                records[name] = json.loads(content(name))
            except (ValueError, RecursionError):
                continue  # not one of ours
    names = frozenset(siblings)
    return Remote(
        info.sha,
        missing,
        bool(info.private),
        target_of(repo_id, begin),
        card,
        records,
        names,
        frozenset(_ours(names, card, records)),
    )


def _ours(names: frozenset[str], card: Card | None, records: dict[str, Any]) -> set[str]:
    """The files that this package has written: only these are replaced and removed."""

    def has(name: str, key: str) -> bool:
        return isinstance(records.get(name), dict) and key in records[name]

    found = {name for name, content in records.items() if _RESULTS.fullmatch(name) and is_whole(content)}
    found |= {CHECKS_FILE} if has(CHECKS_FILE, "ddg_hf_version") else set()
    found |= {METADATA_FILE} if has(METADATA_FILE, "ddg_hf_version") else set()
    if METADATA_FILE in found or (card is not None and card.generated):
        found |= {name for name in names if DATA.fullmatch(name)}
        found |= {METADATA_FILE} if has(METADATA_FILE, "pulled") else set()
    return found


def make_ready(
    api: HfApi, repo_id: str, revision: str | None, remote: Remote, private: bool, create_pr: bool, card: Card
) -> str:
    """
    Returns the commit that a push goes on top of. Makes the repository or the branch first if there is none, once it
    is known that the Hub takes the card.

    Raises:
        UserError: the Hub does not take the card, or the repository is public and a private one is asked for.
    """
    if remote.commit is not None and private and not remote.private:
        raise UserError(f"'{repo_id}' is public, and --private is for new repositories; change it in its settings")
    if remote.commit is not None and not remote.branch_missing:
        return remote.commit
    if create_pr:
        return api.repo_info(repo_id, repo_type="dataset", revision=revision).sha  # says what is missing
    try:
        DatasetCard(str(card)).validate()
    except HfHubHTTPError:
        raise
    except ValueError as error:
        raise UserError(f"the Hub does not take the card: {' '.join(str(error).split())}") from error
    if remote.commit is None:
        api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True)
    if revision not in (None, "main"):
        api.create_branch(repo_id, repo_type="dataset", branch=revision, revision=remote.commit, exist_ok=True)
    return remote.commit or api.repo_info(repo_id, repo_type="dataset", revision=revision).sha

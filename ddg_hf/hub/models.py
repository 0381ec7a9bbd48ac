# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishes a generator as a model repository, in one commit."""

import json
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import RevisionNotFoundError

from ..cards.dataset_card import CARD_FILE
from ..cards.text import read_card
from ..evaluation.results import dump_readable
from ..provenance import METADATA_FILE, published_record
from .connection import check_no_token, commit_whole, with_retries

# What a model consists of. No optimizer states and no pickled files.
_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model", ".vocab")
# Records of this machine, or of other runs in the directory.
_NOT_PUBLISHED = ("manifest.json", "accumulators_", "stored_trajectories")


def make_repository(repo_id: str, private: bool | None, token: str | None) -> str:
    """
    Makes a model repository if there is none, and returns its whole id: `name` becomes `user/name`.

    Raises:
        UserError: no token, or the Hub refuses or cannot be reached.
    """
    api = HfApi(library_name="ddg_hf", token=token)
    return with_retries(
        lambda: api.create_repo(repo_id, private=private, exist_ok=True).repo_id, f"make the repository '{repo_id}'"
    )


def publish_model(
    folder: str | Path,
    repo_id: str,
    make_card: Callable[[ModelCard | None], str],
    *,
    revision: str | None = None,
    message: str = "Generator",
    token: str | None = None,
) -> str:
    """
    Publishes the model files of a directory, its record and a card, in one commit on top of the newest one.

    Args:
        folder: A saved generator.
        repo_id: `user/name`, which exists.
        make_card: Makes the card from the one that is published already, if there is one.
        revision: Branch; `main` by default.
        message: First line of the commit message.
        token: By default that of `hf auth login` or `HF_TOKEN`.

    Returns:
        Address of the commit.

    Raises:
        UserError: the Hub refuses or cannot be reached, or the published card cannot be read.
    """
    api = HfApi(library_name="ddg_hf", token=token)
    files = sorted(
        path
        for path in Path(folder).iterdir()
        if path.is_file() and path.suffix in _SUFFIXES and not path.name.startswith((".", *_NOT_PUBLISHED))
    )

    def publish() -> str:
        try:
            info = api.repo_info(repo_id, revision=revision)
        except RevisionNotFoundError:
            api.create_branch(repo_id, branch=str(revision), exist_ok=True)
            info = api.repo_info(repo_id, revision=revision)
        card = None
        if any(sibling.rfilename == CARD_FILE for sibling in info.siblings or ()):
            path = api.hf_hub_download(repo_id, CARD_FILE, revision=info.sha)
            card = read_card(Path(path).read_text(encoding="utf-8-sig"), f"of '{repo_id}'", ModelCard)
        texts = {CARD_FILE: make_card(card).encode()}
        texts |= {file.name: _record(file) for file in files if file.name == METADATA_FILE}
        check_no_token(texts, token)
        content = {file.name: str(file) for file in files} | texts
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in content.items()]
        commit = commit_whole(
            api, repo_id, operations, commit_message=message, revision=revision, parent_commit=info.sha
        )
        return commit.commit_url

    return with_retries(publish, f"publish '{repo_id}'")


def _record(file: Path) -> bytes:
    return dump_readable(published_record(json.loads(file.read_text(encoding="utf-8")))).encode()

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishes a generator as a model repository, in one commit."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HFValidationError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..cards.card import CARD_FILE, Card, read_card
from ..errors import UserError
from ..provenance import METADATA_FILE, published_record
from .connection import check_no_token, commit_whole, with_retries
from .files import download

# What a generator consists of. Nothing else of a directory is published.
_WEIGHTS = re.compile(
    r"(model|adapter_model)(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json|adapter_config\.json"
)
_OTHERS = re.compile(
    r"config\.json|generation_config\.json|generator_format\.json|trainer_state\.json|metadata\.json"
    r"|tokenizer\.json|tokenizer\.model|spiece\.model|sentencepiece\.bpe\.model|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.(json|txt)|merges\.txt|chat_template\.jinja"
)
_RECORDS = (METADATA_FILE, "trainer_state.json")


def make_repository(repo_id: str, private: bool | None, token: str | None) -> str:
    """
    Makes a model repository if there is none, and returns its whole id: `name` becomes `user/name`.

    Raises:
        UserError: no name of a repository, no token, or the Hub refuses or cannot be reached.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"--hub_model_id '{repo_id}' is no name of a repository; it has the form user/name") from error
    if token is None and get_token() is None:
        raise UserError("--push_to_hub needs a token of the Hub: use `hf auth login` or set HF_TOKEN")
    api = HfApi(library_name="ddg_hf", token=token)
    return with_retries(
        lambda: api.create_repo(repo_id, private=private, exist_ok=True).repo_id, f"make the repository '{repo_id}'"
    )


def publish_model(
    folder: str | Path,
    repo_id: str,
    make_card: Callable[[Card | None, str], Card],
    *,
    revision: str | None = None,
    message: str = "Generator",
    token: str | None = None,
) -> tuple[str, Card]:
    """
    Publishes the model files of a directory, its record and a card, in one commit on top of the newest one. Weights
    that this package has published and that are no longer in the directory are removed; other files stay.

    Args:
        folder: A saved generator.
        repo_id: `user/name`, which exists.
        make_card: Makes the card from the one that is published already, if there is one, and from where it is.
        revision: Branch, made if there is none; `main` by default.
        message: First line of the commit message.
        token: By default that of `hf auth login` or `HF_TOKEN`.

    Returns:
        Address of the commit, and the card.

    Raises:
        UserError: the Hub refuses or cannot be reached, the published card cannot be read, or a file contains the
            token.
    """
    api = HfApi(library_name="ddg_hf", token=token)
    files = {
        path.name: path
        for path in sorted(Path(folder).iterdir())
        if (_WEIGHTS.fullmatch(path.name) or _OTHERS.fullmatch(path.name)) and path.is_file() and not path.is_symlink()
    }
    texts = {name: _text(path) for name, path in files.items() if not _WEIGHTS.fullmatch(name)}

    def publish() -> tuple[str, Card]:
        try:
            info = api.repo_info(repo_id, revision=revision, files_metadata=True)
        except RevisionNotFoundError:
            api.create_branch(repo_id, branch=str(revision), exist_ok=True)
            info = api.repo_info(repo_id, revision=revision, files_metadata=True)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}

        def fetched(name: str) -> bytes:
            return download(api, repo_id, siblings[name], info.sha, repo_type="model").read_bytes()

        published = read_card(fetched(CARD_FILE), f"of '{repo_id}'") if CARD_FILE in siblings else None
        ours = published is not None and bool(published.generated)
        if METADATA_FILE in siblings and not ours and b'"ddg_hf_version"' not in fetched(METADATA_FILE):
            raise UserError(
                f"'{repo_id}' has another kind of {METADATA_FILE}, which would be replaced; use another name"
            )
        target = f"{repo_id}@{revision or 'main'}"
        card = make_card(published, target).at(target)
        content = {**texts, CARD_FILE: str(card).encode()}
        check_no_token(content, token)
        content |= {name: str(path) for name, path in files.items() if name not in content}
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in content.items()]
        stale = [name for name in siblings if ours and _WEIGHTS.fullmatch(name) and name not in content]
        operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        commit = commit_whole(
            api, repo_id, operations, commit_message=message, revision=revision, parent_commit=info.sha
        )
        return commit.commit_url, card

    return with_retries(publish, f"publish '{repo_id}'")


def _text(path: Path) -> bytes:
    if path.name not in _RECORDS:
        return path.read_bytes()
    # As Trainer writes it: a gradient norm may be infinite.
    return json.dumps(published_record(json.loads(path.read_text(encoding="utf-8"))), indent=2).encode()

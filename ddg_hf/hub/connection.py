# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What can go wrong between this machine and the Hub: what is tried again, and what a user is told."""

import json
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub import CommitInfo, HfApi, constants, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from ..errors import UserError
from ..provenance import redact

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds
# Too many requests, a commit that another one has overtaken, and servers in trouble.
_AGAIN = (408, 409, 412, 429, 500, 502, 503, 504)


class TransferError(Exception):
    """A file that has not arrived as it was sent."""


# An answer that is cut short is a JSONDecodeError.
_TROUBLE = (
    *(TransferError, HfHubHTTPError, httpx2.TransportError, json.JSONDecodeError, LocalEntryNotFoundError),
    OfflineModeIsEnabled,
)


def check_repo_id(repo_id: str) -> str:
    """Returns a repository's id, `user/name`. Raises `UserError` if it is none."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"'{repo_id}' is no name of a repository: {' '.join(str(error).split())}") from error
    if repo_id.count("/") != 1:
        raise UserError(f"'{repo_id}' is no name of a repository; it has the form user/name")
    return repo_id


def needed_token() -> str:
    """Returns the token of `hf auth login` or `HF_TOKEN`. Raises `UserError` if there is none."""
    token = get_token()
    if token is None:
        raise UserError("you are not logged in to the Hub: use `hf auth login` or set HF_TOKEN")
    return token


def check_no_token(files: dict[str, bytes], token: str | None = None) -> None:
    """Raises `UserError` if a file that is to be published contains the token that publishes it."""
    token = token or get_token()
    for name, content in files.items():
        if token and token.encode() in content:
            raise UserError(f"'{name}' contains your token of the Hub: remove it before you publish")


def with_retries(action: Callable[[], Result], what: str) -> Result:
    """
    Returns what `action` returns; it is begun anew after an error that may pass, so it must be safe to repeat.

    Args:
        action: Talks to the Hub.
        what: What it does, for messages: "publish 'user/name'".

    Raises:
        UserError: the Hub refuses, or could not be reached after several attempts.
    """
    if not (get_token() or "").isascii():
        raise UserError("your token of the Hub has characters that no token has; copy it again")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (*_TROUBLE, RuntimeError) as error:
            # An upload that fails is a RuntimeError, whose cause says why.
            trouble = error if isinstance(error, _TROUBLE) else error.__cause__
            if not isinstance(trouble, _TROUBLE):
                raise
            seconds = _seconds_to_wait(trouble, attempt)
            if seconds is None or attempt == ATTEMPTS:
                raise UserError(_message(trouble, what)) from None  # the error's request holds the token
            logger.warning("%s; trying again in %.0f s", _reason(trouble), seconds)
        _wait(seconds)
    raise AssertionError("unreachable")


def commit_whole(api: HfApi, repo_id: str, operations: list, create_pr: bool = False, **options) -> CommitInfo:
    """
    [`~huggingface_hub.HfApi.create_commit`], for use in [`with_retries`].

    Raises:
        UserError: the Hub does not take the card, or the connection was lost while a pull request was being opened:
            unlike a commit on a branch, that is not safe to repeat.
    """
    try:
        return api.create_commit(repo_id, operations, create_pr=create_pr, **options)
    except (httpx2.TransportError, json.JSONDecodeError) as error:
        if create_pr:
            raise UserError(
                f"the connection was lost while a pull request to '{repo_id}' was being opened; look whether it is "
                "there before you try again"
            ) from error
        raise
    except ValueError as error:
        if "Invalid metadata" in str(error) and not isinstance(error, HfHubHTTPError):
            raise UserError(f"the Hub does not take the card: {' '.join(str(error).split())}") from error
        raise


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _seconds_to_wait(error: Exception, attempt: int) -> float | None:
    """Seconds until the next attempt, or `None` if there is no point in one."""
    if isinstance(error, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return None
    backoff = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code not in _AGAIN:
            return None
        asked = error.response.headers.get("Retry-After", "")
        return min(max(float(asked), 0.0), _LONGEST_WAIT) if asked.isdecimal() else backoff
    return backoff


def _reason(error: Exception) -> str:
    """What went wrong, on one line and without the token."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        said = f": {error.server_message}" if error.server_message else ""
        text = f"the Hub answered {status}{said}"
    elif isinstance(error, TransferError):
        text = str(error)
    elif isinstance(error, json.JSONDecodeError):
        text = "the Hub's answer was cut short"
    else:
        cause = error.__cause__ or error
        text = f"no connection to the Hub ({type(cause).__name__}: {cause})"
    token = get_token()
    text = " ".join(text.split())[:400]
    return redact(text.replace(token, "<redacted>") if token else text)


def _message(error: Exception, what: str) -> str:
    """The line that a user reads."""
    if isinstance(error, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return f"cannot {what}: HF_HUB_OFFLINE is set"
    login = "log in with `hf auth login` or set HF_TOKEN"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, RevisionNotFoundError):
        return f"cannot {what}: there is no such revision"
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return f"cannot {what}: the Hub does not know your token; {login}"
    if isinstance(error, RepositoryNotFoundError):
        hint = "your token is not valid for it" if get_token() else f"if it is private, {login}"
        return f"cannot {what}: there is no such repository, or you have no access to it ({hint})"
    if status == 403:
        return f"cannot {what}: your token does not allow it; {login} with a token that may write there"
    if isinstance(error, EntryNotFoundError) and not isinstance(
        error, (IncompleteSnapshotError, LocalEntryNotFoundError)
    ):
        return f"cannot {what}: {_reason(error)}"
    if status == 412:
        return f"cannot {what}: others changed the repository again and again meanwhile; try again"
    return f"cannot {what}: {_reason(error)}"

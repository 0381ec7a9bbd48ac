# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Experiment trackers (`--report_to`): checked before anything is loaded, and kept open for the final evaluation."""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence

from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)

from ..errors import UserError, closest

TESTED = ("tensorboard", "trackio", "mlflow")
# transformers does not always list these when they are installed.
_UNTOLD = ("azure_ml", "flyte")


def check_trackers(names: Sequence[str]) -> None:
    """
    Raises a `UserError` unless every tracker is one that transformers knows, and its package is installed.

    Args:
        names (`Sequence[str]`): values of `--report_to`.
    """
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UserError(f"--report_to {name} is unknown.{closest(name, INTEGRATION_TO_CALLBACK)} Known: {known}")
        if name not in _UNTOLD and name not in get_available_reporting_integrations():
            package = "'ddg_hf[trackers]'" if name in TESTED else name
            raise UserError(f"--report_to {name} needs a package that is not installed; pip install {package}")
        if name == "mlflow":
            _check_mlflow_store()


def _check_mlflow_store() -> None:
    """MLflow's small package, unlike its large one, comes without what its default store needs."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:") and not all(map(importlib.util.find_spec, ("sqlalchemy", "alembic"))):
        raise UserError(
            f"--report_to mlflow: its store '{uri}' needs sqlalchemy and alembic; pip install 'ddg_hf[trackers]', or "
            "set MLFLOW_TRACKING_URI to that of a server"
        )


@contextlib.contextmanager
def trackers_open(trainer) -> Iterator[None]:
    """
    Keeps the trackers' run open after `train`, so that an evaluation that follows belongs to it.

    transformers ends the run with the training: MLflow and Trackio would record the final evaluation as another run.

    Args:
        trainer (`Trainer`): whose `train` and `evaluate` are called inside.
    """
    handler = trainer.callback_handler
    postponed = []
    handler.on_train_end = lambda args, state, control: postponed.append((args, state)) or control
    try:
        yield
    finally:
        del handler.on_train_end  # the class's own again
    for args, state in postponed:
        handler.on_train_end(args, state, trainer.control)

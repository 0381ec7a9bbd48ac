# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a checkpoint of the distillation holds besides the generator: the learner's trajectory and the pool."""

import json
import os
from pathlib import Path

from safetensors.torch import load_file, save_file

from ..errors import UserError
from ..provenance import write_json
from .pool import SyntheticPool
from .stored_trajectories import StoredTrajectories
from .trajectory import LearnerTrajectory, part

STATE_TENSORS = "distillation_state.safetensors"
STATE_JSON = "distillation_state.json"


def save_distillation_state(
    directory: Path, trajectory: LearnerTrajectory | StoredTrajectories, pool: SyntheticPool
) -> None:
    """Writes tensors as safetensors and the rest as JSON."""
    parts = {"trajectory": trajectory.state_dict(), "pool": pool.state_dict()}
    tensors = {f"{name}.{key}": value for name, (values, _) in parts.items() for key, value in values.items()}
    temporary = directory / f".{STATE_TENSORS}"
    save_file(tensors, temporary)
    os.replace(temporary, directory / STATE_TENSORS)
    write_json(directory / STATE_JSON, {name: rest for name, (_, rest) in parts.items()})


def load_distillation_state(
    directory: Path, trajectory: LearnerTrajectory | StoredTrajectories, pool: SyntheticPool
) -> None:
    """The inverse of [`save_distillation_state`]. Raises `UserError` if a file is missing."""
    for name in (STATE_TENSORS, STATE_JSON):
        if not (directory / name).is_file():
            raise UserError(f"checkpoint '{directory}' is incomplete ({name} is missing); name another one")
    tensors = load_file(directory / STATE_TENSORS)  # the weights are copied to where they belong
    rest = json.loads((directory / STATE_JSON).read_text(encoding="utf-8"))
    trajectory.load_state_dict(part(tensors, "trajectory"), rest["trajectory"])
    pool.load_state_dict(part(tensors, "pool"), rest["pool"])

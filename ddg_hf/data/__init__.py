# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tasks, loading and the toy dataset."""

from .loading import fingerprint, load_data
from .tasks import TASKS, TaskSpec, get_task
from .toy import make_toy_dataset

__all__ = ["TASKS", "TaskSpec", "fingerprint", "get_task", "load_data", "make_toy_dataset"]

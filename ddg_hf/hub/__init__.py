# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets on the Hugging Face Hub: published with a card, and fetched."""

from .pull import load_demonstrations, pull_distilled
from .push import push_distilled

__all__ = ["load_demonstrations", "pull_distilled", "push_distilled"]

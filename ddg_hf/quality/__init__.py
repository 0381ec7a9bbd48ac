# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checks on distilled sets: copies, leaks, broken texts, personal data, balance and variety."""

from .checks import CHECKS
from .report import CHECKS_FILE, found_by, run_checks

__all__ = ["CHECKS", "CHECKS_FILE", "found_by", "run_checks"]

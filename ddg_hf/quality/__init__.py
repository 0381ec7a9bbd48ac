# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checks on distilled sets: copies, leaks, broken texts, personal data, balance and variety."""

from .checks import CHECKS
from .markdown import checks_markdown
from .report import CHECKS_FILE, found_by, is_current, is_fuller, run_checks

__all__ = ["CHECKS", "CHECKS_FILE", "checks_markdown", "found_by", "is_current", "is_fuller", "run_checks"]

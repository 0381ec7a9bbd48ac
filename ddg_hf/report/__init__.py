# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A study or single runs as one self-contained page: tables, figures, and the distilled samples."""

from .report import make_report

__all__ = ["make_report"]

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Names of the checks."""

CHECKS = {
    "copies": "rows that repeat a real row",
}
"""Names of the checks, and what each looks for."""

NEED_REAL_ROWS = ("copies",)
NEED_LEARNER = ("label_consistency",)

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What every selection rule asks of its arguments."""

import numpy as np

from ..errors import UserError


def check_k(num_rows: int, k: int) -> None:
    """Raises `UserError` unless `k` distinct rows, one at least, can be chosen from `num_rows`."""
    if k < 1:
        raise UserError(f"At least one row must be selected, not {k}.")
    if k > num_rows:
        raise UserError(f"Cannot select {k} rows from {num_rows}: ask for fewer, or provide more rows.")


def check_finite(values: np.ndarray, what: str) -> None:
    """Raises `UserError` if there is a value that is not finite."""
    if not np.isfinite(values).all():
        raise UserError(f"The {what} to select by have values that are not finite (NaN or infinity).")

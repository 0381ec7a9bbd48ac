# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The suite's own safety net: a deprecated call in transformers or torch fails the test that makes it."""

import warnings

import pytest
from transformers.utils import logging


def test_logged_deprecations_raise():
    logger = logging.get_logger("transformers.some_module")
    with pytest.raises(DeprecationWarning, match="old_name"):
        logger.warning_once("`old_name` is deprecated, use `new_name`")
    logger.warning("an ordinary warning")


@pytest.mark.parametrize("module", ["torch.nn.modules", "transformers.trainer", "ddg_hf.losses.generation"])
@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning])
def test_warned_deprecations_raise(module, category):
    with pytest.raises(category, match="old_name"):
        warnings.warn_explicit("old_name is deprecated", category, filename="x.py", lineno=1, module=module)

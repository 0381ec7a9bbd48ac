# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Fixtures of the tests of loading."""

import datasets
import pytest

from tests.data.helpers import make_rows


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def train():
    return make_rows([f"text {i}" for i in range(40)], [i % 2 for i in range(40)])

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The documents have no placeholders and no dead links to files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_placeholders_and_no_dead_links(page):
    text = page.read_text(encoding="utf-8")
    assert "@@" not in text
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_that_are_named_exist(page):
    named = set(re.findall(r"(?:recipes|accelerate_configs)/[\w/]+\.(?:py|yaml)", page.read_text(encoding="utf-8")))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []

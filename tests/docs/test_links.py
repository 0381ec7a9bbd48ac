# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The documents have no placeholders and no dead links, to files or to headings, and equations that two sites show."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks_of, name_of


def without_blocks(page: Path) -> str:
    """The text of a page without fenced blocks."""
    text = page.read_text(encoding="utf-8")
    for block in sorted(blocks_of(page), key=lambda block: -len(block.text)):  # one may be a part of another
        text = text.replace(block.text, "")
    return text


def without_code(page: Path) -> str:
    """The text of a page without fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", without_blocks(page))


def anchors_of(page: Path) -> set[str]:
    """The anchors of the headings of a page, as both GitHub and the site make them."""
    text = without_blocks(page)
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.replace("`", "")).strip().lower()
        anchors.add(re.sub(r"[ -]+", "-", slug) if "  " not in slug else slug.replace(" ", "-"))
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_placeholders_and_no_dead_links(page):
    text = page.read_text(encoding="utf-8")
    assert "@@" not in text
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_dead_anchors(page):
    dead = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", without_code(page)):
        if "://" not in target:
            linked = page if not target else (page.parent / target).resolve()
            if linked.suffix == ".md" and anchor not in anchors_of(linked):
                dead.append(f"{target}#{anchor}")
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_recipes_that_are_named_exist(page):
    named = set(re.findall(r"(?:recipes|accelerate_configs)/[\w/]+\.(?:py|yaml)", page.read_text(encoding="utf-8")))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_equations_are_equations_on_github_too(page):
    """GitHub takes `$...$` for mathematics only between spaces or marks; in tables a bar would end the cell."""
    text = without_code(page)
    rest = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    for match in re.finditer(r"\$([^$\n]+(?:\n[^$\n]+)?)\$", rest):
        before, after = rest[match.start() - 1 : match.start()], rest[match.end() : match.end() + 1]
        assert not match[1][0].isspace() and not match[1][-1].isspace(), match[0]
        assert before in ("", " ", "\n", "(", "|", "*") and not after.isalnum(), match[0]
        line = rest[rest.rfind("\n", 0, match.start()) + 1 : match.end()]
        assert not (line.startswith("|") and "|" in match[1]), match[0]
    assert "$" not in re.sub(r"\$([^$\n]+(?:\n[^$\n]+)?)\$", "", rest)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_path_of_a_machine(page):
    assert re.findall(r"/(?:work|root|home/\w+|tmp)/\S*", page.read_text(encoding="utf-8")) == []

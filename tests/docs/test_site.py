# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The site builds without a warning, needs no other host, and has every public name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ddg_hf
from ddg_hf import cli
from tests.docs.pages import PAGES, ROOT

pytest.importorskip("mkdocs", reason="needs ddg_hf[docs]")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The directory of the built site."""
    directory = tmp_path_factory.mktemp("site")
    process = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},  # as in the Makefile: a notice of the theme, not of our pages
    )
    assert process.returncode == 0, process.stderr
    assert "WARNING" not in process.stderr + process.stdout
    return directory


@pytest.fixture(scope="module")
def html(site) -> dict[str, str]:
    """The pages of the site by their paths."""
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_every_page_is_there(html):
    expected = {
        str(page.relative_to(ROOT / "docs").with_suffix(".html")) for page in PAGES if page.name != "README.md"
    }
    assert expected <= set(html)


def test_nothing_is_fetched_from_another_host(site, html):
    for name, page in html.items():
        sources = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)", page)
        for link in re.findall(r"<link\b[^>]*>", page):
            if not re.search(r"rel=[\"']?(?:canonical|next|prev)\b", link):
                sources += re.findall(r"href=[\"']?([^\"'\s>]+)", link)
        assert [source for source in sources if re.match(r"(?:\w+:)?//", source)] == [], name
    for style in site.rglob("*.css"):
        urls = re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text(encoding="utf-8"))
        assert urls == [], style.name


def test_equations_are_mathml(html):
    for name, page in html.items():
        assert "arithmatex" not in page and "merror" not in page, name
    source = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    blocks = re.findall(r"\$\$.+?\$\$", source, re.DOTALL)
    assert html["method.html"].count('display="block"') == len(blocks) > 5
    assert html["method.html"].count('display="inline"') > 50
    article = re.search(r"<article.*</article>", html["method.html"], re.DOTALL)[0]
    assert "$" not in re.sub(r"<(code|pre)\b.*?</\1>", "", article, flags=re.DOTALL)


@pytest.mark.parametrize("name", sorted(set(ddg_hf.__all__) - {"__version__"}))
def test_public_name_is_documented(html, name):
    assert [page for page in html if page.startswith("api/") and f'id="ddg_hf.{name}"' in html[page]]


def test_references_in_docstrings_are_links_or_code(html):
    for name, page in html.items():
        assert not re.search(r"\[(?:`|<code>)~?[\w.]+(?:`|</code>)\](?!\()", page), name
        assert "<autoref" not in page and "*optional*" not in page, name
    assert 'href="#ddg_hf.TaskSpec"' in html["api/data.html"]
    assert re.search(r'href="models\.html#ddg_hf[\w.]*Generator"', html["api/training.html"])


def test_every_command_is_listed():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = {
        name for row in re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    assert listed == set(cli.COMMANDS)

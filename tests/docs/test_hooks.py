# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the hooks of the site make of equations, links and docstrings."""

import logging
import runpy
from types import SimpleNamespace

import pytest

from tests.docs.pages import ROOT

HOOKS = ROOT / "docs" / "hooks"
CODE = '''
"""Module."""

from dataclasses import dataclass, field

LIMIT = 3
"""See [`Thing`]."""


class Thing:
    """
    A thing with [`Thing.grow`], not [`unknown`], of [`~transformers.Trainer`].

    Parameters:
        size (`int`, *optional*, defaults to `3`): How many ([`LIMIT`]).
        wide (`bool`, *optional*, defaults to `True` on a GPU): Whether it is.
        rows (`Sequence[tuple[str, ...]]`): Texts, as in [text](https://example.org).
        other ([`Thing`] or `None`): Another one.
        a, b (`int`): Two at once.
    """

    def grow(self, by: int = 1):
        """Grows [`~package.Thing`]; see [`LIMIT`]."""


@dataclass
class Settings:
    """Some."""

    sizes: list[int] = field(default_factory=lambda: [5])
    number: int = 2
'''


@pytest.fixture
def package(tmp_path):
    """A small package after the extension."""
    griffe = pytest.importorskip("griffe", reason="needs ddg_hf[docs]")
    (tmp_path / "package.py").write_text(CODE)
    extension = runpy.run_path(str(HOOKS / "docstrings.py"))["TransformersDocstrings"]
    extensions = griffe.load_extensions(extension())
    return griffe.load("package", search_paths=[tmp_path], extensions=extensions)


@pytest.fixture
def docstrings(package):
    thing = package["Thing"]
    return thing.docstring.value, thing["grow"].docstring.value, package["LIMIT"].docstring.value


def reference(path: str, shown: str) -> str:
    return f'<autoref optional identifier="{path}"><code>{shown}</code></autoref>'


def test_references(docstrings):
    thing, grow, limit = docstrings
    assert reference("package.Thing.grow", "Thing.grow") in thing
    assert "not `unknown`, of `Trainer`." in thing
    assert grow == f"Grows {reference('package.Thing', 'Thing')}; see {reference('package.LIMIT', 'LIMIT')}."
    assert limit == f"See {reference('package.Thing', 'Thing')}."


def test_parameters(docstrings):
    lines = [line.strip() for line in docstrings[0].splitlines()]
    assert f"size (int): How many ({reference('package.LIMIT', 'LIMIT')})." in lines
    assert "wide (bool): (default: `True` on a GPU) Whether it is." in lines
    assert "rows (Sequence[tuple[str, ...]]): Texts, as in [text](https://example.org)." in lines
    assert "other (Thing | None): Another one." in lines
    assert "a,b: Two at once." in lines


def test_defaults_of_fields(package):
    parameters = package["Settings"].parameters
    assert (str(parameters["sizes"].default), str(parameters["number"].default)) == ("[5]", "2")


def test_links_to_the_source():
    pytest.importorskip("mkdocs", reason="needs ddg_hf[docs]")
    hook = runpy.run_path(str(HOOKS / "source_links.py"))["on_page_markdown"]
    text = "[`TaskSpec`](../ddg_hf/data/tasks.py), [file](../recipes/demo.py), [page](icl.md), [up](../icl.md)"
    identifier = '<autoref optional identifier="ddg_hf.data.tasks"><code>TaskSpec</code></autoref>'
    assert hook(text) == f"{identifier}, file, [page](icl.md), [up](../icl.md)"


def test_equations(caplog):
    pytest.importorskip("latex2mathml", reason="needs ddg_hf[docs]")
    hook = runpy.run_path(str(HOOKS / "mathml.py"))["on_page_content"]
    page = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))
    inline = hook(r'<p>a <span class="arithmatex">\(x &lt; y\)</span></p>', page=page)
    assert (
        inline.startswith("<p>a <math") and 'display="inline"' in inline and "&lt;" in inline or "&#x0003C;" in inline
    )
    block = hook(r'<div class="arithmatex">\[\sum_i w_i\]</div>', page=page)
    assert block.startswith('<div class="equation"><math') and 'display="block"' in block
    with caplog.at_level(logging.WARNING):
        hook(r'<span class="arithmatex">\(\left( x\)</span>', page=page)
    assert "page.md" in caplog.text

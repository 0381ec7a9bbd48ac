# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Pages, and the browser that opens them."""

import os
import shutil

import pytest

from ddg_hf.report import make_report
from ddg_hf.report.real_rows import TrainingRows
from tests.report import builders

OPTIONS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"


@pytest.fixture(scope="module")
def browser():
    """Chromium, headless; tests that need it are skipped where it is not installed."""
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'ddg_hf[report]'")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium_path = shutil.which("chromium") or "/usr/bin/chromium"
    if not os.access(chromium_path, os.X_OK):
        pytest.skip(f"there is no browser at {chromium_path}: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=chromium_path, args=OPTIONS.split())
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Opens a file; the page that is returned has what went wrong in `problems`, and its requests in `requests`."""
    contexts = []

    def open_(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.problems, page.requests = [], []
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.resolve().as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()


def write_train(folder) -> str:
    train = folder / "train.csv"
    lines = [text for text, _, _ in builders.texts(30, seed=1)]
    train.write_text("\n".join(["text", *lines]) + "\n", encoding="utf-8")
    return str(train)


@pytest.fixture(scope="module")
def study_page(browser, tmp_path_factory):
    """A study with 60 rows, of which one is a training row, one is long, and some are hostile."""
    folder = tmp_path_factory.mktemp("study")
    rows = builders.texts(50) + [(text, 0, 3) for text in builders.HOSTILE]
    rows += [
        builders.texts(30, seed=1)[7][:1] + (1, 3),
        ("long " * 100 + "end", 0, 3),
        ("Größe zählt", 1, 3),
        ("x", 0, 3),
    ]
    builders.study(folder / "films", rows)
    return make_report(folder / "films", folder / "report.html", TrainingRows(train=write_train(folder)))


@pytest.fixture(scope="module")
def large_page(browser, tmp_path_factory):
    """5,000 rows."""
    folder = tmp_path_factory.mktemp("large")
    builders.sets(folder / "sets", builders.texts(5000), check=False)
    return make_report(folder / "sets", folder / "report.html", TrainingRows(train=write_train(folder)))

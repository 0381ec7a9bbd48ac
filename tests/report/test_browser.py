# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The page in headless Chromium: no errors and no requests, readable in light and dark, filters and sorts."""

import csv
import itertools
import json
import os
import random
import re
import shutil
import statistics
import time

import pytest

from ddg_hf.report import make_report
from ddg_hf.report.real_rows import TrainingRows
from tests.report import builders

pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'ddg_hf[report]'")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
if not os.access(CHROMIUM, os.X_OK):
    pytest.skip(f"there is no browser at {CHROMIUM}: apt-get install chromium", allow_module_level=True)
OPTIONS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
CONTRAST = 4.5
MILLISECONDS = 200


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
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
def study_page(tmp_path_factory):
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
def large_page(tmp_path_factory):
    """5,000 rows."""
    folder = tmp_path_factory.mktemp("large")
    builders.sets(folder / "sets", builders.texts(5000), check=False)
    return make_report(folder / "sets", folder / "report.html", TrainingRows(train=write_train(folder)))


def shown_texts(page) -> list[str]:
    return page.locator("#samples-table tbody td.c-text .text").all_text_contents()


def count(page) -> int:
    return int(page.locator("#count").text_content().split(" of ")[0].replace(",", ""))


def wait_until(page, expression: str) -> None:
    """Unlike `wait_for_function`, which evaluates its text in the page once it has to wait; the policy forbids it."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"still not so: {expression}"
        page.wait_for_timeout(20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_loads_without_an_error_and_without_a_request(open_page, study_page, scheme):
    page = open_page(study_page, color_scheme=scheme)
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    page.mouse.wheel(0, 20_000)
    page.wait_for_timeout(200)
    assert page.problems == []
    assert page.requests == [study_page.resolve().as_uri()]
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_hostile_texts_are_shown_and_not_obeyed(open_page, study_page):
    page = open_page(study_page)
    title = page.title()
    page.select_option("#set", "3")
    texts = shown_texts(page)
    assert set(builders.HOSTILE) <= set(texts)
    assert page.locator("#samples-table img, #samples-table a, #samples-table script, #samples-table b").count() == 0
    page.wait_for_timeout(100)
    assert page.title() == title and page.problems == []


def test_a_script_that_got_in_would_not_run(open_page, study_page, tmp_path):
    """The policy, by itself: were there a hole in the escaping, no browser would run what came through it."""
    owned = tmp_path / "owned.html"
    attack = (
        "<script>document.title='owned'</script><img src='https://example.org/x' onerror=\"document.title='owned'\">"
    )
    owned.write_text(study_page.read_text(encoding="utf-8").replace("<footer>", f"<footer>{attack}"), encoding="utf-8")
    page = open_page(owned)
    page.wait_for_timeout(100)
    assert page.title() != "owned" and any("Content Security Policy" in problem for problem in page.problems)


def test_search_and_filters(open_page, study_page):
    page = open_page(study_page)
    assert count(page) == 60 and page.locator("#samples-table tbody tr").count() == 50
    page.fill("#search", "größe ZÄHLT")
    assert shown_texts(page) == ["Größe zählt"] and count(page) == 1
    page.fill("#search", "no such text")
    assert count(page) == 0 and shown_texts(page) == []
    page.get_by_role("button", name="Clear").click()
    wait_until(page, "document.getElementById('count').textContent.startsWith('60 ')")
    page.select_option("#label", "positive")
    labels = set(page.locator("#samples-table tbody td.c-label").all_text_contents())
    assert labels == {"positive"} and count(page) == 27
    page.select_option("#set", "3")
    assert count(page) == 2
    page.select_option("#label", "")
    page.select_option("#near", "near")
    assert page.locator("#samples-table tbody .mark").count() == count(page) == 1
    page.select_option("#near", "far")
    assert count(page) == 9


def test_what_is_found_is_announced(open_page, study_page):
    page = open_page(study_page)
    region = page.get_by_role("status")
    assert region.get_attribute("aria-live") == "polite"
    assert region.text_content() == "60 of 60 rows, page 1 of 2"
    page.get_by_role("button", name="Next").click()
    assert (
        region.text_content() == "60 of 60 rows, page 2 of 2" and page.locator("#samples-table tbody tr").count() == 10
    )


def test_turning_to_the_last_page_keeps_the_focus(open_page, study_page):
    page = open_page(study_page)
    region = page.get_by_role("status")
    for name, place in (("next", "page 2 of 2"), ("previous", "page 1 of 2")):
        button = page.locator(f"#{name}")
        assert button.get_attribute("aria-disabled") == "false"
        button.focus()
        for _ in range(2):  # the second one does nothing
            page.keyboard.press("Enter")
            assert region.text_content() == f"60 of 60 rows, {place}"
            assert page.evaluate("document.activeElement.id") == name
        assert button.get_attribute("aria-disabled") == "true"


def test_sorting_with_the_keyboard(open_page, study_page):
    page = open_page(study_page)
    before = shown_texts(page)
    button = page.locator("th.c-similarity button")
    heading = page.locator("th.c-similarity")
    assert heading.get_attribute("aria-sort") == "none"

    def values() -> list[float]:
        return [float(v.split()[0]) for v in page.locator("#samples-table tbody td.c-similarity").all_text_contents()]

    button.focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values()) and values()[0] < values()[-1]
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending" and values() == sorted(values(), reverse=True)
    page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") == "none" and shown_texts(page) == before
    page.locator("th.c-text button").click()
    assert page.locator("th[aria-sort=ascending]").count() == 1


def test_everything_is_reached_with_the_tab_key(open_page, study_page):
    page = open_page(study_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.key || ''"))
    assert {"search", "method", "dpc", "set", "label", "near", "next", "save", "text", "similarity"} <= reached


def test_only_what_scrolls_is_a_stop_of_the_tab_key(open_page, study_page):
    boxes = "[...document.querySelectorAll('.scroll[tabindex], pre[tabindex]')]"
    count_stops = f"{boxes}.filter((box) => box.checkVisibility()).length"
    narrow, wide = (open_page(study_page, viewport={"width": width, "height": 900}) for width in (390, 1600))
    assert wide.evaluate(count_stops) < 3 < narrow.evaluate(count_stops)


def test_long_texts_expand(open_page, study_page):
    page = open_page(study_page)
    page.fill("#search", "long end")
    button = page.locator("#samples-table .c-text .more")
    short = page.locator("#samples-table .c-text .text").bounding_box()["height"]
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    assert page.locator("#samples-table .c-text .text").bounding_box()["height"] > short


def test_rows_that_were_found_are_saved(open_page, study_page, tmp_path):
    page = open_page(study_page)
    page.select_option("#set", "3")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the rows found as CSV").click()
    download.value.save_as(tmp_path / "samples.csv")
    with (tmp_path / "samples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 and set(builders.HOSTILE) <= {row["text"] for row in rows}


def test_numbers_of_a_figure_are_saved(open_page, study_page, tmp_path):
    page = open_page(study_page)
    with page.expect_download() as download:
        page.locator("a[download='accuracy-films.csv']").click()
    assert download.value.path().read_text().startswith("dpc,method,num_sets,raw,raw_low,raw_high")


# Every element with text of its own: its colour, and what is painted below it. Colours of SVG texts are their fill; of
# what lies below a text, the rectangles of a confusion matrix count, too.
_CONTRASTS = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, bottom, opacity = 1) => {
    const a = top[3] * opacity;
    return [0, 1, 2].map((i) => top[i] * a + bottom[i] * (1 - a)).concat(1);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const isHidden = (element) =>
    !element.checkVisibility({ visibilityProperty: true }) || element.closest('.skip, noscript');
  const background = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(getComputedStyle(e).backgroundColor);
    return chain.reduce((below, color) => over(parse(color), below), [255, 255, 255, 1]);
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.matches('script, style, option, title, desc') || isHidden(element)) continue;
    const style = getComputedStyle(element);
    let below = background(element.closest('svg') ? element.closest('svg').parentElement : element);
    let color = parse(style.color);
    if (element.namespaceURI.endsWith('svg')) {
      color = parse(style.fill);
      element.scrollIntoView({ block: 'center', inline: 'center' });
      const box = element.getBoundingClientRect();
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      for (const shape of document.elementsFromPoint(x, y).reverse()) {
        if (!shape.matches('svg path')) continue;
        const paint = getComputedStyle(shape);
        if (paint.fill !== 'none') below = over(parse(paint.fill), below, paint.fillOpacity * paint.opacity);
      }
    }
    found.push([contrast(over(color, below), below), element.textContent.trim().slice(0, 40), element.tagName,
                element.getAttribute('class') || '']);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(open_page, study_page, scheme):
    page = open_page(study_page, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true })")
    page.select_option("#near", "near")  # with the mark of a near copy
    found = page.evaluate(_CONTRASTS)
    kinds = {tag for _, _, tag, _ in found}
    assert len(found) > 500 and {"text", "TD", "TH", "A", "P", "BUTTON", "LABEL", "LI", "PRE"} <= kinds
    least = min(found)
    print(f"{scheme}: least contrast {least[0]:.2f} ({least[1:]}), {len(found)} texts")
    assert least[0] >= CONTRAST, sorted(found)[:10]


def test_the_measure_of_contrast_finds_a_faint_text(open_page, study_page):
    page = open_page(study_page)
    page.evaluate("document.querySelector('.note').style.color = '#999'")
    assert min(page.evaluate(_CONTRASTS))[0] < CONTRAST
    page.evaluate("document.querySelector('.note').style.color = ''")
    page.evaluate("document.documentElement.style.setProperty('--heat', '#000')")
    page.evaluate("document.querySelectorAll('#confusion path').forEach((path) => { path.style.opacity = 1 })")
    assert min(page.evaluate(_CONTRASTS))[0] < CONTRAST


def test_dark_is_dark(open_page, study_page):
    def surface(scheme: str) -> list[int]:
        page = open_page(study_page, color_scheme=scheme)
        return [
            int(n) for n in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
        ]

    assert max(surface("dark")) < 50 and min(surface("light")) > 240


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out(open_page, study_page, width):
    page = open_page(study_page, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_whole_table_is_printed_and_controls_are_not(open_page, study_page):
    page = open_page(study_page, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".contents").is_visible() and not page.locator("#filters").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    rows = page.locator("#samples-table tbody tr")
    texts = json.loads(page.locator("#samples-data").text_content())
    assert shown_texts(page) == [row[texts["columns"].index("text")] for row in texts["rows"]] and rows.count() == 60
    assert all(row.is_visible() for row in rows.all())
    hidden = "(texts) => texts.filter((text) => text.scrollHeight > text.clientHeight + 1 && text.clientHeight).length"
    assert page.locator("#samples-table .clamped").count() == 1
    assert page.locator("#samples-table .text").evaluate_all(hidden) == 0
    assert page.get_by_role("status").inner_text() == "60 of 60 rows"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert rows.count() == 50


def test_printing_from_the_last_page_has_all_rows_in_order(open_page, study_page):
    page = open_page(study_page)
    before = shown_texts(page)
    page.locator("#next").click()
    last = shown_texts(page)
    page.evaluate(
        """addEventListener('beforeprint', () => {
          window.printed = document.querySelectorAll('#samples-table tbody tr').length;
        })"""
    )
    page.pdf()
    assert page.evaluate("window.printed") == 60 and shown_texts(page) == last
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown_texts(page) == before + last


def test_what_is_unfolded_is_printed(open_page, study_page):
    page = open_page(study_page)
    page.emulate_media(media="print")
    assert page.get_by_text("error: cannot read 'x.parquet'").is_visible()
    folded = page.locator("#commands details:not([open])")
    assert folded.count() == 2 and not any(details.is_visible() for details in folded.all())


def test_five_thousand_rows_filter_at_every_key(open_page, large_page):
    page = open_page(large_page)
    assert count(page) == 5000
    # From the key to the next frame that was painted.
    page.evaluate(
        """() => {
          window.times = [];
          const search = document.getElementById('search');
          search.addEventListener('keydown', () => { window.start = performance.now(); });
          search.addEventListener('input', () => requestAnimationFrame(() => setTimeout(
            () => window.times.push(performance.now() - window.start))));
        }"""
    )
    page.focus("#search")
    rounds = []
    for _ in range(3):  # the best of three: the machine may be busy with something else
        page.evaluate("window.times = []")
        for key in [*"bright film 12", *["Backspace"] * 14]:
            page.keyboard.press(key if len(key) > 1 else "Space" if key == " " else key)
            page.wait_for_timeout(50)
        wait_until(page, "window.times.length === 28")
        rounds.append(page.evaluate("window.times"))
        if max(rounds[-1]) < MILLISECONDS:
            break
    best = min(rounds, key=max)
    print(f"filter: median {statistics.median(best):.0f} ms, greatest {max(best):.0f} ms of {len(best)} keys")
    assert max(best) < MILLISECONDS
    assert count(page) == 5000


def test_filters_agree_with_a_plain_search(open_page, large_page):
    page = open_page(large_page)
    content = json.loads(page.locator("#samples-data").text_content())
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
    draw, found = random.Random(0), 0
    for label, number in itertools.product(("", "positive"), ("", "7")):
        words = draw.sample("slow warm bright plain film story 1 2 33".split(), 2)
        page.select_option("#label", label)
        page.select_option("#set", number)
        page.fill("#search", " ".join(words))
        expected = [
            row
            for row in rows
            if label in ("", row["label"])
            and number in ("", str(row["set"]))
            and all(word in f"{row['text']} {row['label']} {row['nearest']}".lower() for word in words)
        ]
        assert count(page) == len(expected)
        assert shown_texts(page) == [row["text"] for row in expected[:50]]
        found += len(expected)
    assert found > 100

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The page in headless Chromium: no errors and no requests, filters and sorts, with the keyboard too."""

import csv
import itertools
import json
import random
import statistics

import pytest

from tests.report import builders
from tests.report.page import count, shown_texts, wait_until

MILLISECONDS = 200


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
    assert download.value.path().read_text().startswith("dpc,method,num_sets,num_training_seeds,raw,raw_low,raw_high")


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

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How the page looks in headless Chromium: contrast in light and dark, widths of screens, paper."""

import json
import re

import pytest

from tests.report.page import shown_texts

CONTRAST = 4.5


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

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a page shows in the browser."""

import time


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

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is published in the tests, and edits of it."""

import yaml

REPOSITORY = "user/toy-ddg"


def header(hub, repository=REPOSITORY) -> dict:
    return yaml.safe_load(hub.contents(repository)["README.md"].decode().split("---\n")[1])


def card_text(hub, repository=REPOSITORY) -> str:
    return hub.contents(repository)["README.md"].decode()


def edit(text: str, words: str = "Not for medical use.") -> str:
    return text.replace("## Limitations\n", f"## Limitations\n\n{words}\n")


def edit_on_hub(hub, **changes: str) -> None:
    text = edit(card_text(hub))
    for old, new in changes.items():
        text = text.replace(f"{old}: {header(hub)[old]}", f"{old}: {new}")
    hub.put(REPOSITORY, "README.md", text.encode(), "dataset")


def edit_here(directory, words: str) -> None:
    path = directory / "README.md"
    path.write_text(edit(path.read_text(), words))

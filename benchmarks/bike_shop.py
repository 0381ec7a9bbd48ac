# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Writes a made-up data set of one's own as CSV: messages to a bike shop, and who has to answer them.

    python benchmarks/bike_shop.py bike_shop.csv
    ddg-hf study --config recipes/bike_shop/study_cpu.yaml --generator ...

900 rows, three labels (`workshop`, `orders`, `advice`). Sentences are put together from parts; one row in twenty has
the label of another desk, as labels given in a hurry have.
"""

import argparse
import csv
import random
from pathlib import Path

BIKES = (
    "city bike",
    "gravel bike",
    "cargo bike",
    "folding bike",
    "kids' bike",
    "touring bike",
    "e-bike",
    "vintage bike",
)
PARTS = ("chain", "rear brake", "front light", "saddle", "gear cable", "bottom bracket", "tyre", "pedal", "kickstand")
WHEN = ("since yesterday", "after the last ride", "since the winter", "again", "on every hill", "when it rains", "")
OPENINGS = ("Hello,", "Good morning,", "Hi there,", "Dear team,", "", "", "")
CLOSINGS = ("Thank you!", "Please let me know.", "Best wishes", "I need it for the weekend.", "", "", "")
DAYS = ("Monday", "Tuesday", "Friday", "next week", "the tenth", "before the holidays")

MESSAGES = {
    "workshop": (
        "the {part} of my {bike} makes a grinding noise {when}",
        "my {bike} has a loose {part} {when}, can somebody look at it on {day}?",
        "could you fix the {part} of a {bike} by {day}?",
        "the {part} came off {when} and I cannot get it back on",
        "is there a free slot on {day}? My {bike} needs a new {part}",
        "after your repair the {part} of my {bike} rattles {when}",
    ),
    "orders": (
        "I ordered a {part} for my {bike} and have not heard anything {when}",
        "the parcel came without the {part}, only the invoice was in it",
        "please change the address of my order, I move on {day}",
        "you charged me twice for the {part}",
        "can I still return the {part}? It does not fit my {bike}",
        "when will the {bike} that I paid for on {day} be delivered?",
    ),
    "advice": (
        "which {part} would you choose for a {bike} in the city?",
        "is a {bike} a good idea for forty kilometres a day?",
        "how often should I grease the {part} of a {bike}?",
        "does a {part} for a {bike} fit any other model?",
        "what is the difference between your two kinds of {part}?",
        "I am thinking of a {bike} for my daughter, what size should it be?",
    ),
}


def message(rng: random.Random, label: str) -> str:
    """One message for the desk `label`."""
    words = {"part": PARTS, "bike": BIKES, "when": WHEN, "day": DAYS}
    body = rng.choice(MESSAGES[label]).format(**{name: rng.choice(values) for name, values in words.items()})
    body = " ".join(body.replace(" ,", ",").replace(" ?", "?").split())
    if not body.endswith("?"):
        body += "."
    opening, closing = rng.choice(OPENINGS), rng.choice(CLOSINGS)
    return " ".join(part for part in (opening, body if opening else body[0].upper() + body[1:], closing) if part)


def rows(number: int = 900, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct messages with their labels."""
    rng, found = random.Random(seed), {}
    labels = list(MESSAGES)
    while len(found) < number:
        label = labels[len(found) % len(labels)]
        text = message(rng, label)
        if text not in found:
            found[text] = rng.choice(labels) if rng.random() < 0.05 * 1.5 else label
    pairs = list(found.items())
    rng.shuffle(pairs)
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="CSV file")
    path = parser.parse_args().output
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(rows())
    print(f"{path}: {len(rows())} rows")


if __name__ == "__main__":
    main()

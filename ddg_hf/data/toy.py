# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
A small synthetic dataset of customer messages with their intent, built in memory by a seeded grammar.

It needs no download, so that every recipe can be tried at once. Many messages are one clause that carries the intent,
some have an aside in the words of another intent ("The first one was faulty, but the kettle works perfectly."), and
some set what the customer wants against another intent ("I would rather cancel my order for the kettle than ask for a
refund for it."), where only the order of the words tells which is meant. In train 5 % of the labels are wrong on
purpose; validation and test labels are all right.
"""

import random

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from .tasks import get_task

SPLIT_SIZES = {"train": 3000, "validation": 400, "test": 400}
LABEL_NOISE = 0.05
# Share of the messages that set two intents against each other, and share of the others that have an aside, such that
# a classifier on bags of words is right about nine times in ten.
CONTRAST_RATE = 0.25
ASIDE_RATE = 0.4

_SLOTS = {
    "item": (
        "kettle, lamp, jacket, backpack, keyboard, coffee machine, desk, rug, watch, camera, headset, blender, "
        "toaster, suitcase, tent, bicycle, chair, mirror, speaker, printer, sofa, mattress, raincoat, bookshelf"
    ),
    "good": "lovely, sturdy, beautiful, excellent, wonderful, brilliant, elegant, solid, well made, really good",
    "bad": "faulty, flimsy, damaged, scratched, broken, dirty, badly made, useless, disappointing, worn",
    "kind": "kind, friendly, patient, helpful, quick",
    "rude": "rude, slow, careless, unhelpful, impatient",
    "person": (
        "my sister, my brother, my daughter, my son, my father, my mother, my neighbour, a friend, my partner, "
        "a colleague"
    ),
    "past": "last week, on Monday, two days ago, this morning, yesterday, a month ago, last Friday, at the weekend",
    "since": "since Monday, for three days, since last week, for a week, for ten days",
    "deadline": "by Friday, before the weekend, this week, before her birthday, by the end of the month",
    "card": "card, account, bank account, credit card",
    "place": "office, new address, neighbour, parents, work address",
    "colour": "blue, green, dark red, white, grey, a larger size, a smaller size, another colour",
    "use": "a small flat, a young child, everyday use, a long trip, outdoor use",
}
_SLOTS = {name: tuple(words.split(", ")) for name, words in _SLOTS.items()}

# What carries the intent. A clause that ends in a question mark is a question in form, whatever its label.
_CLAUSES = {
    "praise": (
        "the {item} is {good} and {person} loves it",
        "I am so happy with the {item} that I will order another one",
        "thank you for the {good} {item}, {person} was delighted",
        "the {item} works perfectly and looks {good}",
        "your team was {kind} and helped me choose the right {item}",
        "I have used the {item} every day {since} and it is {good}",
        "{person} tried the {item} {past} and could not be happier",
        "the {item} is even better than in the picture, I recommend it to everyone",
        "the new {item} arrived {past} and it is simply {good}",
    ),
    "complaint": (
        "the {item} is {bad} and nobody answers my calls",
        "I am very unhappy with the {item} because it is {bad}",
        "the {item} stopped working {past} and it looks {bad}",
        "your team was {rude} when I called about the {item} {past}",
        "the {item} looks nothing like the picture and it is {bad}",
        "{person} tried the {item} once and it is already {bad}",
        "this is the second {item} from you that was {bad}",
        "the new {item} arrived {past} and it is simply {bad}",
        "I have used the {item} {since} and it is {bad}",
    ),
    "refund": (
        "I want my money back for the {bad} {item}",
        "please return the money to my {card} because the {item} is not what I ordered",
        "you charged me twice for the {item}, please pay one amount back",
        "I sent the {item} back {past} and I am still waiting for the money",
        "please refund the {item} to my {card}",
        "how can I get a refund for the {item} I bought {past}?",
        "I returned the {item} {past}, when will I see the money on my {card}?",
        "the price of the {item} dropped {past}, please pay me the difference back",
    ),
    "delivery": (
        "the {item} has not arrived and the tracking page has not changed {since}",
        "where is the {item} that I ordered {past}?",
        "the courier left the {item} at the wrong address {past}",
        "can you tell me when the {item} will arrive?",
        "the driver never rang the bell and took the {item} away again",
        "please send the {item} to my {place} instead",
        "I have been waiting for the {item} {since}, please find the parcel",
        "{person} needs the {item} {deadline}, will it be here in time?",
    ),
    "cancellation": (
        "please cancel my order for the {item}",
        "I ordered the {item} by mistake {past}, please stop the order",
        "I no longer need the {item}, so please do not send it",
        "can I still cancel the {item} that I ordered {past}?",
        "{person} bought the same {item}, so I want to cancel mine",
        "I changed my mind about the {item}, please stop the order",
        "please take the {item} off my order before you send it",
        "I found a better {item} {past}, so I do not want yours any more",
    ),
    "question": (
        "does the {item} also come in {colour}?",
        "can you tell me how to clean the {item}?",
        "is the {item} {good} enough for {use}?",
        "how long is the warranty on the {item}?",
        "which {item} would you choose for {person}?",
        "do you have the {item} in {colour} in your shop?",
        "what is the difference between the {item} and the newer one?",
        "how do I set up the {item} that I bought {past}?",
        "will you have the {item} in {colour} again {deadline}?",
    ),
}

# Background in the words of one intent, for messages that have another.
_ASIDES = {
    "praise": (
        "I love the colour",
        "{person} loves your shop",
        "the first one was {good}",
        "I was delighted with my last order",
        "your team was {kind}",
        "it looks {good} in the picture",
        "everyone recommends your shop",
    ),
    "complaint": (
        "the box was {bad}",
        "I was unhappy with my last order",
        "the first one was {bad}",
        "nobody answers my calls",
        "the old one stopped working {past}",
        "your team was {rude} {past}",
        "the picture looked {bad}",
    ),
    "refund": (
        "I do not want my money back",
        "I already had a refund for the other one",
        "the money is back on my {card}",
        "you charged me twice last time",
        "I returned the other one {past}",
        "the refund for the lamp was quick",
    ),
    "delivery": (
        "the parcel arrived {past}",
        "the courier was {kind}",
        "the courier was {rude}",
        "I had been waiting {since}",
        "the tracking page was clear",
        "the first parcel went to the wrong address",
        "the driver never rang the bell",
    ),
    "cancellation": (
        "I do not want to cancel anything",
        "I nearly cancelled my order",
        "{person} told me to cancel",
        "I changed my mind about the other one",
        "you stopped my last order in time",
        "I no longer need the other one",
    ),
    "question": (
        "I asked about the warranty {past}",
        "I know how to clean it",
        "you answered my question about the size",
        "{person} asked about the difference",
        "I know how to set it up",
        "I asked for it in {colour}",
    ),
}

# What the customer wants to do, to be set against each other.
_WISHES = {
    "praise": (
        "thank you for the {good} {item}",
        "tell you how {good} the {item} is",
        "say that {person} loves the {item}",
        "recommend the {item} to everyone",
    ),
    "complaint": (
        "complain about the {bad} {item}",
        "tell you how {bad} the {item} is",
        "say that the {item} stopped working {past}",
        "tell you how {rude} your team was",
    ),
    "refund": (
        "have my money back for the {item}",
        "ask for a refund for the {item}",
        "return the {item} for the money",
        "have the {item} refunded to my {card}",
    ),
    "delivery": (
        "find out when the {item} will arrive",
        "have the {item} sent to my {place}",
        "ask where the {item} is now",
        "ask the courier for the {item}",
    ),
    "cancellation": (
        "cancel my order for the {item}",
        "stop the order for the {item}",
        "take the {item} off my order",
        "cancel the {item} before you send it",
    ),
    "question": (
        "find out if the {item} comes in {colour}",
        "ask how to clean the {item}",
        "find out how long the warranty on the {item} is",
        "ask if the {item} is right for {use}",
    ),
}
_CONTRASTS = (
    "I was going to <other>, but now I want to <wish>",
    "{person} told me to <other>, but I want to <wish>",
    "I do not want to <other>, I want to <wish>",
    "I want to <wish>, I do not want to <other>",
    "I want to <wish> and not to <other>",
    "I would rather <wish> than <other>",
    "now I want to <wish>, although I was going to <other>",
)

_OPENERS = ("Hello,", "Hi there,", "Good morning,", "Dear team,", "Hi,")
_CLOSERS = ("Thanks.", "Thank you.", "Please let me know.", "Please call me back.", "Best wishes.", "Please help.")


def _fill(template: str, rng: random.Random) -> str:
    return template.format(**{slot: rng.choice(words) for slot, words in _SLOTS.items()})


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _contrast(label: str, other: str, rng: random.Random) -> str:
    wish, rejected = rng.choice(_WISHES[label]), rng.choice(_WISHES[other])
    template = rng.choice(_CONTRASTS).replace("<wish>", wish).replace("<other>", rejected)
    # Both wishes are about the same item, so the second mention is a pronoun.
    first, mention, rest = template.partition("the {item}")
    return _fill(first + mention + rest.replace("the {item}", "it"), rng)


def _message(label: str, rng: random.Random) -> str:
    """Draws one message with the intent `label`."""
    other = rng.choice([name for name in _CLAUSES if name != label])
    if rng.random() < CONTRAST_RATE:
        return f"{_capitalised(_contrast(label, other, rng))}."
    sentence = _fill(rng.choice(_CLAUSES[label]), rng)
    is_question = sentence.endswith("?")
    if rng.random() < ASIDE_RATE:
        aside = _fill(rng.choice(_ASIDES[other]), rng)
        if not is_question and rng.random() < 0.4:
            sentence = f"{sentence}, although {aside}"
        elif rng.random() < 0.6:
            sentence = f"{aside}, but {sentence}"
        else:
            sentence = f"{aside}. {_capitalised(sentence)}"
    elif rng.random() < 0.5:
        sentence = f"{sentence if is_question else sentence + '.'} {rng.choice(_CLOSERS)}"
    if rng.random() < 0.2:
        sentence = f"{rng.choice(_OPENERS)} {sentence}"
    sentence = _capitalised(sentence)
    return sentence if sentence[-1] in ".?" else f"{sentence}."


def _flip_labels(label_ids: list[int], num_labels: int, rng: random.Random) -> list[int]:
    """Returns the labels with a share of `LABEL_NOISE`, drawn at random, moved to another class."""
    flipped = list(label_ids)
    for row in rng.sample(range(len(flipped)), round(LABEL_NOISE * len(flipped))):
        flipped[row] = (flipped[row] + rng.randrange(1, num_labels)) % num_labels
    return flipped


def make_toy_dataset(seed: int = 0) -> DatasetDict:
    """
    Builds the toy dataset: 3,000 train, 400 validation and 400 test messages, none of them twice.

    The classes are as even as the sizes allow. 5 % of the train labels (150 rows) are wrong on purpose.

    Args:
        seed: Determines everything.

    Returns:
        Three splits with the columns `text` (string) and `label` (ClassLabel, the names of the task `toy`).
    """
    rng = random.Random(seed)
    names = get_task("toy").label_names
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(names))})
    seen: set[str] = set()
    splits = {}
    for split, size in SPLIT_SIZES.items():
        texts, label_ids = [], [row % len(names) for row in range(size)]
        rng.shuffle(label_ids)
        for label_id in label_ids:
            text = _message(names[label_id], rng)
            while text in seen:
                text = _message(names[label_id], rng)
            seen.add(text)
            texts.append(text)
        if split == "train":
            label_ids = _flip_labels(label_ids, len(names), rng)
        splits[split] = Dataset.from_dict({"text": texts, "label": label_ids}, features=features)
    return DatasetDict(splits)

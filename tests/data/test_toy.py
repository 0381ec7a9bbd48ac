# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from datasets import ClassLabel, Value
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ddg_hf.data import toy
from ddg_hf.data.tasks import get_task


@pytest.fixture(scope="module")
def dataset():
    return toy.make_toy_dataset()


def test_layout(dataset):
    spec = get_task("toy")
    assert {split: rows.num_rows for split, rows in dataset.items()} == toy.SPLIT_SIZES
    for rows in dataset.values():
        assert rows.features == {"text": Value("string"), "label": ClassLabel(names=list(spec.label_names))}


def test_seed_determines_everything(dataset):
    again, other = toy.make_toy_dataset(0), toy.make_toy_dataset(1)
    for split, rows in dataset.items():
        assert rows[:] == again[split][:]
        assert rows["text"][:] != other[split]["text"][:]


def test_no_text_occurs_twice(dataset):
    texts = [text for rows in dataset.values() for text in rows["text"]]
    assert len(set(texts)) == len(texts)


def test_classes_are_even_where_labels_are_right(dataset):
    for split in ("validation", "test"):
        counts = np.bincount(dataset[split]["label"])
        assert counts.max() - counts.min() <= 1


def test_texts_are_sentences(dataset):
    texts = [text for rows in dataset.values() for text in rows["text"]]
    words = {word.strip(".,?").lower() for text in texts for word in text.split()}
    lengths = [len(text.split()) for text in texts]
    assert 200 < len(words) < 600
    assert 5 <= min(lengths) and max(lengths) <= 30 and np.median(lengths) < 20
    assert all(text[0].isupper() and text[-1] in ".?" and "  " not in text for text in texts)
    assert not any(mark in text for text in texts for mark in "{}<>")


def test_only_train_labels_are_noisy(dataset, monkeypatch):
    monkeypatch.setattr(toy, "LABEL_NOISE", 0.0)
    clean = toy.make_toy_dataset()
    assert clean["train"]["text"][:] == dataset["train"]["text"][:]
    wrong = np.mean(np.array(clean["train"]["label"]) != np.array(dataset["train"]["label"]))
    assert wrong == pytest.approx(0.05)


def test_noise_moves_labels_to_other_classes():
    labels = [row % 6 for row in range(600)]
    flipped = toy._flip_labels(labels, 6, toy.random.Random(0))
    assert sum(a != b for a, b in zip(labels, flipped, strict=True)) == 30
    assert set(flipped) == set(range(6))


def test_bag_of_words_is_neither_perfect_nor_lost(dataset):
    classifier = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=300))
    classifier.fit(dataset["train"]["text"][:], dataset["train"]["label"][:])
    accuracy = classifier.score(dataset["test"]["text"][:], dataset["test"]["label"][:])
    assert 0.70 < accuracy < 0.97

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Splitting and fingerprints."""

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value, concatenate_datasets

from ddg_hf.data.loading import fingerprint, split_indices
from tests.data.helpers import error_of, make_rows

# Splitting


def test_split_is_a_stratified_partition():
    labels_N = np.random.default_rng(0).choice(5, size=1003, p=[0.4, 0.3, 0.2, 0.09, 0.01])
    stay, aside = split_indices(labels_N, 0.1, seed=1)
    assert sorted([*stay, *aside]) == list(range(1003))
    assert len(aside) == 100
    for label in range(5):
        assert abs(np.sum(labels_N[aside] == label) - 0.1 * np.sum(labels_N == label)) < 1


def test_split_depends_on_the_seed_alone():
    labels_N = np.arange(200) % 3
    first, again, other = (split_indices(labels_N, 0.1, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_classes_with_one_row_stay_in_train():
    labels_N = np.array([0] * 30 + [1] * 30 + [2] + [3])
    for seed in range(5):
        stay, aside = split_indices(labels_N, 0.1, seed)
        assert {60, 61} <= set(stay) and len(aside) == 6


def test_every_class_keeps_a_row():
    stay, aside = split_indices(np.array([0, 0, 1, 1]), 0.9, seed=0)
    assert np.array([0, 0, 1, 1])[stay].tolist() == [0, 1] and len(aside) == 2


def test_too_small_to_set_rows_aside(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("text,label\na,0\nb,1\n")
    assert "There is no validation split" in error_of(dataset=file, text_columns=["text"])


# Fingerprint


def test_fingerprint_ignores_storage(train, tmp_path):
    expected = fingerprint(train)
    halves = concatenate_datasets([train.select(range(15)), train.select(range(15, 40))])
    shuffled = train.shuffle(seed=0)
    restored = shuffled.select(np.argsort([train["text"][:].index(text) for text in shuffled["text"]]))
    table = pa.table({"text": train.data["text"].cast(pa.large_string()), "label": train["label"][:]})
    train.to_parquet(tmp_path / "x.parquet")
    stored = Dataset.from_parquet(str(tmp_path / "x.parquet"), cache_dir=str(tmp_path))
    for same in (halves, restored, stored, train.select(range(40)), Dataset(table).cast(train.features)):
        assert fingerprint(same) == expected


def test_fingerprint_of_a_slice(train):
    part = make_rows(train["text"][5:20], train["label"][5:20])
    assert fingerprint(train.select(range(5, 20))) == fingerprint(part)


def test_fingerprint_sees_content(train):
    texts, labels = train["text"][:], train["label"][:]
    others = [
        make_rows(texts[::-1], labels),
        make_rows(texts, labels[::-1]),
        make_rows(texts, labels, ["good", "bad"]),
        make_rows(texts[:-1], labels[:-1]),
        make_rows([*texts[:-2], texts[-2] + texts[-1][:1], texts[-1][1:]], labels),
        train.rename_column("text", "sentence"),
        train.select([]),
    ]
    assert len({fingerprint(train), *map(fingerprint, others)}) == len(others) + 1


def test_fingerprint_of_numbers():
    rows = Dataset.from_dict({"set": [0, 1], "generator_loss": [0.5, 1.5]})
    other = Dataset.from_dict({"set": [0, 1], "generator_loss": [0.5, 1.25]})
    assert fingerprint(rows) != fingerprint(other)
    assert fingerprint(rows) == fingerprint(rows.cast_column("set", Value("int32")))

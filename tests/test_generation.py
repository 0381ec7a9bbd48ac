# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Candidates, their selection into sets, and the dataset directory."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from ddg_hf.configs import GeneratorArguments
from ddg_hf.errors import UserError
from ddg_hf.formats.distilled import write_distilled
from ddg_hf.generation import Candidates, SamplingCounts, generate_sets, sample_candidates, select_rows
from ddg_hf.generation_config import GenerationArguments
from ddg_hf.models.generator import Generator
from ddg_hf.provenance import run_metadata
from ddg_hf.selection import select_herding, select_k_centers
from tests.trainer.helpers import SPEC, WORDS


@pytest.fixture
def generator(pretrained) -> Generator:
    return Generator.load(pretrained, GeneratorArguments())


def bag_of_words(rows) -> np.ndarray:
    vocabulary = [word for words in WORDS for word in words]
    return np.array([[text.count(word) for word in vocabulary] for (text,) in rows], dtype=np.float32)


class WordProbe:
    """Gives a text the label that has more words in it."""

    def predict(self, rows):
        counts = bag_of_words(rows)
        return (counts[:, 4:].sum(1) > counts[:, :4].sum(1)).astype(int)


def test_sets_have_the_rows_that_were_asked_for(generator):
    arguments = GenerationArguments(dpc=[2, 3], num_sets=2, over_sample_ratio=3, selection="random")
    sets, counts = generate_sets(generator, arguments, seed=1)
    assert list(sets) == [2, 3]
    for n, rows in sets.items():
        assert [(row.set, row.label) for row in rows] == [(s, y) for s in range(2) for y in range(2) for _ in range(n)]
        for s in range(2):
            texts = [(row.texts, row.label) for row in rows if row.set == s]
            assert len(set(texts)) == len(texts)
    assert counts.sampled == 2 * 2 * 16  # nine of each label and set, in one chunk


def test_sets_depend_on_the_seed_and_their_number_alone(generator):
    def rows(seed, **changes):
        arguments = GenerationArguments(**{"dpc": [2], "num_sets": 2, "over_sample_ratio": 3} | changes)
        return generate_sets(generator, arguments, seed, bag_of_words)[0][2]

    first = rows(1)
    assert rows(1) == first
    assert rows(2) != first
    assert rows(1, num_sets=1) == [row for row in first if row.set == 0]


def test_sizes_do_not_influence_one_another(generator):
    arguments = {"num_sets": 1, "over_sample_ratio": 3, "selection": "random"}
    alone, _ = generate_sets(generator, GenerationArguments(dpc=[2], **arguments), seed=5)
    both, _ = generate_sets(generator, GenerationArguments(dpc=[2, 30], **arguments), seed=5)
    assert both[2] == alone[2]


def test_generator_loss_is_that_of_the_text(generator):
    arguments = GenerationArguments(dpc=[3], num_sets=1, over_sample_ratio=2, selection="random")
    rows = generate_sets(generator, arguments, seed=3)[0][3]
    again = generator.nll([generator.format.encode(row.texts, row.label) for row in rows]).tolist()
    assert [row.generator_loss for row in rows] == pytest.approx(again, rel=1e-4)


def test_selections_are_those_of_the_selection_package():
    rows = [(text,) for text in ("dull", "flat flat", "great", "good good", "bad warm", "funny")]
    candidates = Candidates(rows, [3.0, 1.0, 2.0, 0.5, 4.0, 1.5])
    assert select_rows(candidates, 2, "generator_loss", 0, None) == [3, 1]
    expected = select_herding(bag_of_words(rows), 2).tolist()
    assert select_rows(candidates, 2, "herding", 0, bag_of_words) == expected
    expected = select_k_centers(bag_of_words(rows), 2, 7).tolist()
    assert select_rows(candidates, 2, "k_centers", 7, bag_of_words) == expected


def test_label_filter_drops_texts_of_another_label(generator):
    arguments = GenerationArguments(dpc=[4], num_sets=1, over_sample_ratio=2, label_filter=True, selection="random")
    sets, counts = generate_sets(generator, arguments, seed=0, probe=WordProbe())
    assert counts.wrong_label > 0
    rows = sets[4]
    assert WordProbe().predict([row.texts for row in rows]).tolist() == [row.label for row in rows]


def test_too_few_usable_texts_is_an_error_that_shows_some(generator, monkeypatch):
    monkeypatch.setattr(type(generator.format), "decode", lambda self, target: None)
    arguments = GenerationArguments(max_sampling_rounds=1)
    with pytest.raises(UserError, match=r"only 0 of 4 texts of 'positive' are usable.*malformed.*Malformed ones: \["):
        sample_candidates(generator, 1, 4, arguments, (0,), SamplingCounts())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"dpc": [0]}, "--dpc"), ({"num_sets": 0}, "--num_sets"), ({"over_sample_ratio": 0.5}, "--over_sample_ratio")],
)
def test_impossible_sizes_are_errors(changes, message):
    with pytest.raises(UserError, match=message):
        GenerationArguments(**changes)


def test_dataset_directory_loads_with_label_names(generator, tmp_path):
    arguments = GenerationArguments(dpc=[2, 3], num_sets=2, over_sample_ratio=2)
    sets, _ = generate_sets(generator, arguments, 0, bag_of_words)
    metadata = run_metadata("generate", [GeneratorArguments(generator="g"), arguments], sampling={"sampled": 1})
    write_distilled(tmp_path, sets, SPEC, metadata)
    loaded = load_dataset(str(tmp_path), "dpc_3", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["negative", "positive"]
    assert loaded.features["set"].dtype == "int32" and loaded.features["generator_loss"].dtype == "float32"
    assert loaded["text"] == [row.texts[0] for row in sets[3]]
    assert loaded["label"] == [row.label for row in sets[3]]
    assert pq.read_metadata(tmp_path / "dpc_2" / "train.parquet").num_rows == 2 * 2 * 2
    assert "config_name: dpc_3" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "metadata.json").read_text())["arguments"]["generator"] == "g"

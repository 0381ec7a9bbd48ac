# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Where demonstrations come from, what is wrong with some of them, and the choice of queries."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import (
    DemonstrationSet,
    available_dpc,
    balanced_sample,
    draw_sets,
    load_distilled,
    select_sets,
)

SPEC = get_task("sst2")


def write_parquet(folder, names=SPEC.label_names, column="sentence", sets=(0, 0, 2, 2)):
    features = Features(
        {
            column: Value("string"),
            "label": ClassLabel(names=list(names)),
            "set": Value("int32"),
            "generator_loss": Value("float32"),
        }
    )
    rows = {
        column: [f"text {i}" for i in range(len(sets))],
        "label": [i % 2 for i in range(len(sets))],
        "set": list(sets),
        "generator_loss": [1.5] * len(sets),
    }
    folder.mkdir(parents=True)
    pq.write_table(Dataset.from_dict(rows, features=features).data.table, folder / "train.parquet")


def write_dilm(folder, number, labels=(0, 1)):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"sentence": f"set {number} row {i}", "labels": label}) for i, label in enumerate(labels)]
    (folder / f"dataset_{number}.json").write_text("\n".join(lines) + "\n")


def test_parquet_sets(tmp_path):
    write_parquet(tmp_path / "dpc_1")
    write_parquet(tmp_path / "dpc_10")
    (tmp_path / "README.md").write_text("card")
    assert available_dpc(str(tmp_path)) == [1, 10]
    sets = load_distilled(str(tmp_path), "dpc_1", SPEC)
    assert sets == [
        DemonstrationSet(0, ((("text 0",), 0), (("text 1",), 1))),
        DemonstrationSet(2, ((("text 2",), 0), (("text 3",), 1))),
    ]


def test_same_sets_from_the_hub(tmp_path, monkeypatch):
    """A Hub id goes through `load_dataset`, which here reads the directory instead."""
    write_parquet(tmp_path / "dpc_1")
    card = "---\nconfigs:\n- config_name: dpc_1\n  data_files: dpc_1/train.parquet\n---\n"
    (tmp_path / "README.md").write_text(card)
    asked = []

    def from_hub(name, config, split):
        asked.append((name, config))
        return load_dataset(str(tmp_path), config, split=split, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr("ddg_hf.evaluation.demonstrations.load_dataset", from_hub)
    assert load_distilled("user/sst2-ddg", "dpc_1", SPEC) == load_distilled(str(tmp_path), "dpc_1", SPEC)
    assert asked == [("user/sst2-ddg", "dpc_1")]


def test_hub_that_cannot_be_reached():
    with pytest.raises(UserError, match="cannot load 'nobody/nothing'"):
        load_distilled("nobody/nothing", "dpc_5", SPEC)
    with pytest.raises(UserError, match="cannot load 'nobody/nothing'"):
        available_dpc("nobody/nothing")


def test_dilm_sets(tmp_path):
    for number in (10, 2):
        write_dilm(tmp_path / "dpc_1", number)
    sets = load_distilled(str(tmp_path), "dpc_1", SPEC)
    assert [s.set_id for s in sets] == [2, 10]
    assert sets[0].rows == ((("set 2 row 0",), 0), (("set 2 row 1",), 1))


def test_published_dilm_sets(shared_data):
    for task in ("sst2", "mnli", "qqp"):
        spec = get_task(task)
        source = shared_data / "dilm_published" / task
        if not source.is_dir():
            pytest.skip(f"no published sets: {source} does not exist")
        for dpc in available_dpc(str(source)):
            for members in load_distilled(str(source), f"dpc_{dpc}", spec):
                labels = [label for _, label in members.rows]
                assert np.bincount(labels).tolist() == [dpc] * spec.num_labels
                assert {len(texts) for texts, _ in members.rows} == {len(spec.text_columns)}


def test_label_names_of_another_task(tmp_path):
    write_parquet(tmp_path / "dpc_1", names=("positive", "negative"))
    with pytest.raises(UserError, match="positive, negative.*negative, positive"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_missing_column(tmp_path):
    write_parquet(tmp_path / "dpc_1", column="review")
    with pytest.raises(UserError, match="sentence.*review"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_label_out_of_range(tmp_path):
    write_dilm(tmp_path / "dpc_1", 0, labels=(0, 2))
    with pytest.raises(UserError, match="label ids outside 0 to 1"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


@pytest.mark.parametrize("content", ["", "[1, 2]", "{broken", '{"sentence": "a", "labels": 0}\n7\n'])
def test_broken_json(tmp_path, content):
    (tmp_path / "dpc_1").mkdir()
    (tmp_path / "dpc_1" / "dataset_0.json").write_text(content)
    with pytest.raises(UserError):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_broken_parquet(tmp_path):
    (tmp_path / "dpc_1").mkdir()
    (tmp_path / "dpc_1" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="cannot read"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_missing_configuration(tmp_path):
    with pytest.raises(UserError, match="holds no distilled sets"):
        available_dpc(str(tmp_path))
    write_parquet(tmp_path / "dpc_1")
    with pytest.raises(UserError, match="no sets for 'dpc_5'.*it has dpc_1"):
        load_distilled(str(tmp_path), "dpc_5", SPEC)


def test_table_without_sets_is_one_set(tmp_path):
    (tmp_path / "dpc_2").mkdir()
    pq.write_table(pa.table({"sentence": ["a", "b"], "label": [0, 1]}), tmp_path / "dpc_2" / "train.parquet")
    assert [len(s.rows) for s in load_distilled(str(tmp_path), "dpc_2", SPEC)] == [2]


# Rows of the training split

ROWS = [((f"row {i}",), int(i % 5 == 0)) for i in range(100)]


def counts(members):
    return np.bincount([label for _, label in members.rows], minlength=2).tolist()


def test_balanced():
    sets = draw_sets("balanced", ROWS, SPEC, 7, 4, seed=0)
    assert [s.set_id for s in sets] == [0, 1, 2, 3]
    for members in sets:
        assert counts(members) == [7, 7] and len(set(members.rows)) == 14
    assert len({members.rows for members in sets}) == 4
    assert draw_sets("balanced", ROWS, SPEC, 7, 2, seed=0) == sets[:2]
    assert draw_sets("balanced", ROWS, SPEC, 7, 2, seed=1) != sets[:2]


def test_random_draws_classes_as_they_fall():
    sets = draw_sets("random", ROWS, SPEC, 5, 200, seed=0)
    assert all(len(set(members.rows)) == 10 for members in sets)
    minority = [counts(members)[1] for members in sets]
    assert np.mean(minority) == pytest.approx(2, abs=0.3)
    assert min(minority) == 0
    members = sets[0]
    orders = [members.in_order(5, 2, seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(members.rows)


def test_k_centers_takes_the_middle_of_clusters():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 100, (6, 4))
    rows, embeddings = [], []
    for label in range(2):
        for cluster in range(3):
            centre = centres[3 * label + cluster]
            offsets = rng.normal(0, 1, (5, 4))
            offsets -= offsets.mean(axis=0)
            for i, offset in enumerate([*offsets, np.zeros(4)]):
                rows.append(((f"{label} {cluster} {'middle' if i == 5 else 'edge'}",), label))
                embeddings.append(centre + offset)
    seen = []

    def embed(texts):
        seen.append(texts)
        return np.array(embeddings)

    sets = draw_sets("k_centers", rows, SPEC, 3, 8, seed=0, embed=embed)
    middles = {(f"{label} {cluster} middle",) for label in range(2) for cluster in range(3)}
    assert middles in [{texts for texts, _ in members.rows} for members in sets]
    assert all(counts(members) == [3, 3] for members in sets)
    assert seen == [[texts for texts, _ in rows]]


def test_zero_shot():
    (members,) = draw_sets("zero_shot", ROWS, SPEC, 5, 3, seed=0)
    assert members.rows == () and members.in_order(5, 2, seed=0) == []


@pytest.mark.parametrize("kind", ["balanced", "k_centers"])
def test_too_few_rows_of_a_class(kind):
    with pytest.raises(UserError, match="class 'positive' has 20 rows, but 21 are needed"):
        draw_sets(kind, ROWS, SPEC, 21, 1, seed=0, embed=lambda rows: np.zeros((len(rows), 2)))


def test_bad_draws():
    with pytest.raises(UserError, match="102 demonstrations are needed, but there are 100"):
        draw_sets("random", ROWS, SPEC, 51, 1, seed=0)
    with pytest.raises(UserError, match="Did you mean 'balanced'"):
        draw_sets("balance", ROWS, SPEC, 5, 1, seed=0)
    with pytest.raises(UserError, match="at least 1"):
        draw_sets("balanced", ROWS, SPEC, 0, 1, seed=0)
    with pytest.raises(UserError, match="needs an encoder"):
        draw_sets("k_centers", ROWS, SPEC, 1, 1, seed=0)


def test_rows_are_embedded_once_for_every_number_per_class():
    calls = []

    def embed(texts):
        calls.append(texts)
        return np.random.default_rng(0).normal(size=(len(texts), 3))

    sets = select_sets(SPEC, ROWS, None, "k_centers", [1, 2, 5], 2, seed=0, embed=embed)
    assert calls == [[texts for texts, _ in ROWS]]
    assert {n: [counts(members) for members in group] for n, group in sets.items()} == {
        n: [[n, n]] * 2 for n in (1, 2, 5)
    }
    assert sets[2] == draw_sets("k_centers", ROWS, SPEC, 2, 2, seed=0, embed=embed)


# Queries


@pytest.mark.parametrize(
    "size, expected",
    [(6, [2, 2, 2]), (30, [10, 10, 10]), (60, [30, 20, 10]), (75, [45, 20, 10]), (130, [100, 20, 10])],
)
def test_balanced_sample(size, expected):
    labels = np.repeat([0, 1, 2], [100, 20, 10])
    chosen = balanced_sample(labels, size, seed=0, num_labels=3)
    assert np.bincount(labels[chosen]).tolist() == expected
    assert (np.diff(chosen) > 0).all()


def test_balanced_sample_remainder_falls_on_any_class():
    labels = np.repeat([0, 1, 2], 50)
    favoured = set()
    for seed in range(20):
        found = np.bincount(labels[balanced_sample(labels, 10, seed, 3)])
        assert sorted(found) == [3, 3, 4]
        favoured.add(int(found.argmax()))
    assert favoured == {0, 1, 2}


def test_balanced_sample_seed_and_limits():
    labels = np.arange(90) % 3
    first, again, other = (balanced_sample(labels, 12, seed, 3).tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert balanced_sample(labels, None, 0, 3).tolist() == list(range(90))
    assert balanced_sample(labels, 1000, 0, 3).tolist() == list(range(90))
    assert len(balanced_sample([0, 0, 1], 2, 0, 5)) == 2  # labels that have no rows
    with pytest.raises(UserError, match="at least one query"):
        balanced_sample(labels, 0, 0, 3)

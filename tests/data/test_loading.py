# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, concatenate_datasets

from ddg_hf.data import loading
from ddg_hf.data.loading import fingerprint, load_data, split_indices
from ddg_hf.data.tasks import TASKS, get_task
from ddg_hf.errors import UserError

NAMES = ["bad", "good"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def make_rows(texts, labels, names=NAMES, text_column="text"):
    features = Features({text_column: Value("string"), "label": ClassLabel(names=names) if names else Value("int64")})
    return Dataset.from_dict({text_column: texts, "label": labels}, features=features)


def write_task(folder, name="sst2", names=("negative", "positive"), **splits):
    (folder / name).mkdir()
    for split, rows in splits.items():
        rows.to_parquet(folder / name / f"{split}.parquet")


@pytest.fixture
def train():
    return make_rows([f"text {i}" for i in range(40)], [i % 2 for i in range(40)])


def sst2_rows(size=40, labels=None, column="sentence", names=("negative", "positive")):
    labels = [i % 2 for i in range(size)] if labels is None else labels
    return make_rows([f"text {i}" for i in range(size)], labels, list(names) if names else None, column)


def error_of(*args, **kwargs):
    """Returns the message of the `UserError` that loading raises."""
    with pytest.raises(UserError) as error:
        load_data(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# Tasks


@pytest.mark.parametrize("name", [name for name in TASKS if name != "toy"])
def test_real_data(shared_data, name):
    spec, splits = load_data(name, data_dir=shared_data)
    assert spec == get_task(name)
    assert list(splits) == ["train", "validation", "test"]
    for split, rows in splits.items():
        assert rows.column_names == [*spec.text_columns, "label"]
        assert rows.features["label"] == ClassLabel(names=list(spec.label_names))
        assert all(rows.features[column] == Value("string") for column in spec.text_columns)
        file = shared_data / name / f"{split}.parquet"
        if file.is_file() and (split != "train" or (shared_data / name / "validation.parquet").is_file()):
            assert rows[:] == Dataset.from_pandas(pd.read_parquet(file), preserve_index=False)[:]


def test_toy_needs_nothing():
    spec, splits = load_data("toy", seed=7)
    assert spec.name == "toy"
    assert splits["train"].num_rows > 1000


def test_data_dir_without_validation(tmp_path):
    write_task(tmp_path, train=sst2_rows(40), test=sst2_rows(6))
    _, splits = load_data("sst2", data_dir=tmp_path)
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 36, "validation": 4, "test": 6}
    assert sorted(splits["train"]["sentence"][:] + splits["validation"]["sentence"][:]) == sorted(
        sst2_rows(40)["sentence"][:]
    )


def test_loading_leaves_the_data_directory_alone(tmp_path):
    write_task(tmp_path, train=sst2_rows())
    before = sorted(path for path in tmp_path.rglob("*"))
    load_data("sst2", data_dir=tmp_path)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_missing_file_is_named(tmp_path):
    assert str(tmp_path / "sst2" / "train.parquet") in error_of("sst2", data_dir=tmp_path)


def test_missing_column(tmp_path):
    write_task(tmp_path, train=sst2_rows(column="sentense"))
    message = error_of("sst2", data_dir=tmp_path)
    assert "no column 'sentence'" in message and "sentense, label" in message


def test_label_ids_out_of_range(tmp_path):
    test = sst2_rows(5, labels=[0, 1, -1, 2, -1], names=None)
    write_task(tmp_path, train=sst2_rows(names=None), validation=sst2_rows(names=None), test=test)
    message = error_of("sst2", data_dir=tmp_path)
    assert "'test' has 3 label ids outside 0 to 1" in message and "from -1 to 2" in message


def test_other_label_names(tmp_path):
    write_task(tmp_path, train=sst2_rows(), validation=sst2_rows(names=("positive", "negative")))
    message = error_of("sst2", data_dir=tmp_path)
    assert "'validation' (positive, negative)" in message and "'sst2' (negative, positive)" in message


def test_other_label_names_of_many_are_shown_where_they_differ(tmp_path):
    names = list(get_task("banking77").label_names)
    names[51] = "refund_not_showing_up"
    write_task(tmp_path, "banking77", train=make_rows(["a", "b"], [0, 1], names))
    message = error_of("banking77", data_dir=tmp_path)
    assert "id 51 = refund_not_showing_up" in message and "id 51 = Refund_not_showing_up" in message
    assert len(message) < 250


def test_empty_split(tmp_path):
    write_task(tmp_path, train=sst2_rows(), validation=sst2_rows(0))
    assert "Split 'validation' of 'sst2' has no rows" in error_of("sst2", data_dir=tmp_path)


@pytest.mark.parametrize("column", ["sentence", "label"])
def test_missing_value(tmp_path, column):
    values = {"sentence": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}
    values[column][2] = None
    write_task(tmp_path, train=Dataset.from_dict(values, features=sst2_rows().features))
    message = error_of("sst2", data_dir=tmp_path)
    assert f"Column '{column}' of split 'train' has no value in row 2" in message


def test_text_must_be_text(tmp_path):
    write_task(tmp_path, train=Dataset.from_dict({"sentence": [1, 2], "label": [0, 1]}))
    assert "Column 'sentence' of split 'train' holds int64, not text" in error_of("sst2", data_dir=tmp_path)


# The Hub, of which only the boundary is replaced


@pytest.fixture
def hub(monkeypatch):
    """Makes `load_dataset` return what is put into `content`; records how it was called."""
    calls, content = [], {}

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        return content["dataset"]

    monkeypatch.setattr(loading, "load_dataset", load_dataset)
    return calls, content


def test_hub_splits_without_labels_are_not_read(hub):
    calls, content = hub
    content["dataset"] = DatasetDict(
        train=sst2_rows(), validation=sst2_rows(8), test=sst2_rows(4, labels=[-1] * 4).add_column("idx", range(4))
    )
    spec, splits = load_data("sst2")
    assert list(splits) == ["train", "validation"]
    assert calls == [((spec.hub_id, None), {"revision": spec.hub_revision})]


def test_hub_split_map(hub):
    calls, content = hub
    features = Features(
        premise=Value("string"), hypothesis=Value("string"), label=ClassLabel(names=list(get_task("mnli").label_names))
    )
    rows = {
        split: Dataset.from_dict(
            {"premise": [split] * 3, "hypothesis": ["b"] * 3, "label": [0, 1, 2]}, features=features
        )
        for split in ("train", "validation_matched", "validation_mismatched", "test_matched")
    }
    content["dataset"] = DatasetDict(rows)
    _, splits = load_data("mnli")
    assert {split: rows["premise"][:] for split, rows in splits.items()} == {
        "train": ["train"] * 3,
        "validation": ["validation_matched"] * 3,
    }
    del rows["validation_matched"]
    content["dataset"] = DatasetDict(rows)
    assert "has no split 'validation_matched'" in error_of("mnli")


def test_go_emotions_keeps_rows_with_one_label(hub):
    _, content = hub
    names = list(get_task("go_emotions").label_names)
    features = Features(text=Value("string"), labels=List(ClassLabel(names=names)), id=Value("string"))
    rows = Dataset.from_dict(
        {"text": list("abcd"), "labels": [[3], [1, 2], [27], []], "id": list("wxyz")}, features=features
    )
    every = Dataset.from_dict(
        {"text": names, "labels": [[i] for i in range(len(names))], "id": names}, features=features
    )
    content["dataset"] = DatasetDict(train=every, validation=rows, test=rows)
    _, splits = load_data("go_emotions")
    assert splits["test"][:] == {"text": ["a", "c"], "label": [3, 27]}
    content["dataset"] = DatasetDict(train=every, validation=rows.select([1, 3]), test=rows)
    assert "'validation' of 'go_emotions' has no row with exactly one label" in error_of("go_emotions")


def test_hub_failure_is_reported_in_one_line(monkeypatch):
    def load_dataset(*args, **kwargs):
        raise ConnectionError("no route\nto the Hub")

    monkeypatch.setattr(loading, "load_dataset", load_dataset)
    message = error_of("sst2")
    assert "stanfordnlp/sst2" in message and "no route" in message and "data_dir" in message


def test_custom_hub_dataset(hub, caplog):
    _, content = hub
    content["dataset"] = DatasetDict(train=make_rows(list("abcd"), [0, 1, 0, 1]), dev=make_rows(list("ef"), [0, 1]))
    content["dataset"]["test"] = make_rows(list("gh"), [-1, -1])
    spec, splits = load_data(dataset="someone/reviews", text_columns=["text"])
    assert spec.name == "reviews"
    assert splits["validation"]["text"][:] == ["e", "f"]
    assert "test" not in splits and "'test' is left out" in caplog.text
    del content["dataset"]["train"]
    assert "has no split 'train', only dev, test" in error_of(dataset="someone/reviews", text_columns=["text"])


# Other data


FRAME = pd.DataFrame(
    {
        "title": ["NA", "007", 'a, "b"', "c\nd", "None", "é"] * 4,
        "body": ["x", "y", "1", "2", "3", "null"] * 4,
        "stars": ["low", "high", "low", "mid", "high", "mid"] * 4,
        "other": range(24),
    }
)


def write_frame(frame, file):
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    elif file.suffix in (".csv", ".tsv"):
        frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    else:
        frame.to_json(file, orient="records", lines=file.suffix == ".jsonl")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "json", "jsonl"])
def test_one_file(tmp_path, suffix):
    file = tmp_path / f"shop reviews.{suffix}"
    write_frame(FRAME, file)
    spec, splits = load_data(dataset=file, text_columns=["body", "title"], label_column="stars")
    assert (spec.name, spec.text_columns) == ("shop reviews", ("body", "title"))
    assert spec.label_names == spec.label_words == ("high", "low", "mid")
    assert spec.field_names == ("Text 1", "Text 2") and spec.answer_name == "Label"
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 22, "validation": 2}
    rows = concatenate_datasets(list(splits.values()))
    assert rows.column_names == ["body", "title", "label"]
    names = rows.features["label"].names
    found = sorted(zip(rows["title"], rows["body"], [names[i] for i in rows["label"]], strict=True))
    assert found == sorted(zip(FRAME["title"], FRAME["body"], FRAME["stars"], strict=True))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_directory(tmp_path, suffix):
    for split, rows in (("train", FRAME), ("dev", FRAME[:5]), ("test", FRAME[5:12])):
        write_frame(rows, tmp_path / f"{split}.{suffix}")
    (tmp_path / "README.md").write_text("not data")
    spec, splits = load_data(
        dataset=str(tmp_path), text_columns=["title"], label_column="stars", label_names=["low", "mid", "high"]
    )
    assert spec.name == tmp_path.name and spec.label_names == ("low", "mid", "high")
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 24, "validation": 5, "test": 7}
    assert splits["test"]["label"][:] == [{"low": 0, "mid": 1, "high": 2}[name] for name in FRAME["stars"][5:12]]


def test_directory_with_one_lone_file_is_train(tmp_path):
    write_frame(FRAME, tmp_path / "everything.csv")
    _, splits = load_data(dataset=tmp_path, text_columns="title", label_column="stars")
    assert list(splits) == ["train", "validation"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no train file"),
        (["a.csv", "b.csv"], "no train file"),
        (["test.csv", "other.csv"], "no train file"),
        (["train.csv", "val.csv", "dev.csv"], "two files for the split 'validation': dev.csv and val.csv"),
    ],
)
def test_unclear_directories(tmp_path, names, message):
    for name in names:
        write_frame(FRAME, tmp_path / name)
    assert message in error_of(dataset=tmp_path, text_columns=["title"], label_column="stars")


def test_integer_labels(tmp_path, train):
    file = tmp_path / "data.csv"
    write_frame(train.to_pandas(), file)
    assert load_data(dataset=file, text_columns=["text"])[0].label_names == ("0", "1")
    spec, splits = load_data(dataset=file, text_columns=["text"], label_names=NAMES)
    assert spec.label_names == ("bad", "good")
    assert splits["train"].features["label"].names == NAMES
    frame = train.to_pandas()
    frame["label"] += 1
    write_frame(frame, file)
    assert "ids from 1 to 2" in error_of(dataset=file, text_columns=["text"])
    assert "20 label ids outside 0 to 1" in error_of(dataset=file, text_columns=["text"], label_names=NAMES)


def test_every_class_needs_a_training_row(tmp_path, train):
    write_frame(train.to_pandas(), tmp_path / "train.csv")
    write_frame(make_rows(["a", "b"], [0, 2], None).to_pandas(), tmp_path / "validation.csv")
    arguments = {"dataset": tmp_path, "text_columns": ["text"]}
    assert "no row of class 'odd': add" in error_of(**arguments, label_names=["bad", "good", "odd"])
    message = error_of(**arguments, label_names=["bad", "good", "odd", "even", "prime"])
    assert "no row of class 'odd' (and of 2 others)" in message


def test_registered_task_without_rows_of_a_class(tmp_path):
    write_task(tmp_path, train=sst2_rows(6, labels=[1] * 6), validation=sst2_rows(4))
    assert "Split 'train' of 'sst2' has no row of class 'negative'" in error_of("sst2", data_dir=tmp_path)


def test_truth_values_are_labels(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("text,label\na,True\nb,False\nc,True\nd,False\n")
    spec, splits = load_data(dataset=file, text_columns=["text"])
    assert spec.label_names == ("False", "True")


def test_class_label_names_are_kept(tmp_path, train):
    train.to_parquet(tmp_path / "train.parquet")
    spec, _ = load_data(dataset=tmp_path, text_columns=["text"])
    assert spec.label_names == ("bad", "good")
    message = error_of(dataset=tmp_path, text_columns=["text"], label_names=["good", "bad"])
    assert "(bad, good)" in message and "(good, bad)" in message


def test_unknown_string_label(tmp_path):
    write_frame(FRAME, tmp_path / "train.csv")
    write_frame(FRAME.replace({"stars": {"mid": "middle"}}), tmp_path / "test.csv")
    message = error_of(dataset=tmp_path, text_columns=["title"], label_column="stars")
    assert "Label 'middle' in split 'test', row 3, is not among the label names (high, low, mid)" in message


def test_empty_cell_in_csv(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("text,label\na,0\n,1\nc,1\n")
    assert "Column 'text' of split 'train' has no value in row 1" in error_of(dataset=file, text_columns=["text"])
    file.write_text("text,label\na,0\nb,1\nc,\n")
    assert "Column 'label' of split 'train' has no value in row 2" in error_of(dataset=file, text_columns=["text"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", "Split 'train' of 'data' has no rows"),
        ("", "is empty"),
        ('text,label\n"a,0\nb,1\n', "Could not read"),
        ("text,label\na,0\nb,0\n", "two or more different labels"),
        ("text,label\na,0.5\nb,1.5\n", "holds double; labels are integers or strings"),
        ("text,lable\na,0\nb,1\n", "no column 'label'. Did you mean 'lable'? Its columns are text, lable."),
        ("text,label\na,0\n", "two or more different labels"),
    ],
)
def test_useless_files(tmp_path, content, message):
    file = tmp_path / "data.csv"
    file.write_text(content)
    assert message in error_of(dataset=file, text_columns=["text"])


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_damaged_files(tmp_path, suffix):
    file = tmp_path / f"data.{suffix}"
    file.write_text("{broken")
    assert f"Could not read '{file}'" in error_of(dataset=file, text_columns=["text"])


def test_list_labels_are_refused(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "a", "label": [0, 1]}\n{"text": "b", "label": [1]}\n')
    assert "one label per row is needed" in error_of(dataset=file, text_columns=["text"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either 'task'"),
        ({"task": "sst2", "dataset": "x.csv"}, "either 'task'"),
        ({"task": "sst2", "text_columns": ["text"]}, "'text_columns' describes a 'dataset'"),
        ({"task": "sst2", "label_names": ["a", "b"]}, "'label_names' describes a 'dataset'"),
        ({"task": "sst3"}, "Did you mean 'sst"),
        ({"dataset": "x.csv"}, "'text_columns' is missing"),
        ({"dataset": "x.csv", "text_columns": ["text"]}, "'x.csv' does not exist"),
        ({"dataset": "/no/such/folder", "text_columns": ["text"]}, "'/no/such/folder' does not exist"),
        ({"dataset": "./nowhere", "text_columns": ["text"]}, "'./nowhere' does not exist"),
        ({"dataset": "x.csv", "text_columns": ["text"], "data_dir": "d"}, "'data_dir' goes with 'task'"),
        ({"dataset": "x.csv", "text_columns": ["a", "a"]}, "must differ"),
        ({"dataset": "x.csv", "text_columns": ["a", "b"], "label_column": "b"}, "must differ"),
        ({"dataset": "x.csv", "text_columns": ["label"]}, "must differ"),
        ({"dataset": "x.csv", "text_columns": ["label"], "label_column": "b"}, "'label' has the name of a column"),
        ({"dataset": "x.csv", "text_columns": ["a", "set"]}, "'set' has the name of a column"),
        ({"dataset": "x.csv", "text_columns": ["generator_loss"]}, "'generator_loss' has the name of a column"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    assert message in error_of(**arguments)


def test_other_file_types_are_refused(tmp_path):
    file = tmp_path / "data.xlsx"
    file.write_text("")
    assert "none of the file types" in error_of(dataset=file, text_columns=["text"])


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

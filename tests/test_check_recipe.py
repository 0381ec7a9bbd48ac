# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf check` from arguments to files and exit codes."""

import json
import subprocess
import sys

import pytest

from ddg_hf.cli import main as cli
from ddg_hf.data.loading import load_data
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.formats.distilled import write_distilled
from ddg_hf.generation import DistilledRow
from tests.quality.directories import write_directory

ROWS = [("a fine film .", 1, 0), ("a poor film .", 0, 0), ("mail me@b.org .", 1, 1), ("so dull .", 0, 1)]


@pytest.fixture
def directory(tmp_path):
    return write_directory(tmp_path / "sets", {"dpc_1": ROWS})


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\nA fine film!,positive\nother words here,negative\n", encoding="utf-8")
    return path


@pytest.fixture
def check(capsys):
    """Runs the command; returns exit code, standard output and standard error."""

    def run(*argv) -> tuple[int, str, str]:
        code = cli(["check", *map(str, argv)])
        return code, *capsys.readouterr()

    return run


def test_table_and_file(check, directory, train):
    code, shown, _ = check(directory, "--train", train)
    assert code == 0
    assert "copies" in shown and "warn, 1 of 4 rows" in shown and "A fine film!" in shown
    checks = json.loads((directory / "checks.json").read_text())
    assert checks["real_rows"] == {"train": 2}
    assert checks["checks"]["copies"]["examples"][0]["real_row"] == 0
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []


def test_json_is_all_that_is_printed(check, directory, train):
    code, shown, _ = check(directory, "--train", train, "--json")
    assert code == 0
    assert json.loads(shown) == json.loads((directory / "checks.json").read_text())


def test_fuller_report_of_the_same_rows_is_kept(check, directory, train):
    check(directory, "--train", train)
    fuller = (directory / "checks.json").read_text()
    assert "kept as it is" in check(directory)[1]
    assert (directory / "checks.json").read_text() == fuller
    # As full, or of other rows, or no report at all: replaced.
    assert "kept" not in check(directory, "--train", train)[1]
    for other in (fuller.replace('"dpc_1": "', '"dpc_1": "0'), "[]", "{", '{"version": 1}'):
        (directory / "checks.json").write_text(other)
        assert check(directory)[0] == 0
        assert json.loads((directory / "checks.json").read_text())["real_rows"] == {}


def test_output_goes_elsewhere(check, directory, tmp_path):
    assert check(directory, "--output", tmp_path / "out" / "result.json")[0] == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["status"] == "fail"
    assert not (directory / "checks.json").exists()


def test_output_replaces_nothing_that_is_read(check, directory, train, monkeypatch):
    (directory / "README.md").write_text("mine")
    (train.parent / "link").symlink_to(directory / "README.md")
    before = {path: path.read_bytes() for path in train.parent.rglob("*") if path.is_file()}
    monkeypatch.setenv("HOME", str(train.parent))
    for output in (train, "~/train.csv", directory / "README.md", "~/sets/dpc_1/train.parquet", train.parent / "link"):
        code, _, errors = check(directory, "--train", train, "--output", output)
        assert code == 2 and "would replace what is checked" in errors
    assert {path: path.read_bytes() for path in train.parent.rglob("*") if path.is_file()} == before
    assert check("~/sets", "--train", "~/train.csv", "--output", "~/sets/checks.json")[0] == 0
    assert check("~/sets", "--output", "~/sets/other.json")[0] == 0


@pytest.mark.parametrize(
    ("fail_on", "expected"),
    [
        (["copies"], 1),
        (["personal_data", "balance"], 1),
        (["any"], 1),
        (["balance", "empty", "truncated", "control_tokens", "duplicates"], 0),
        ([], 0),
    ],
)
def test_exit_code(check, directory, train, fail_on, expected):
    code, _, errors = check(directory, "--train", train, *(["--fail_on", *fail_on] if fail_on else []))
    assert code == expected
    assert ("found something" in errors) == bool(expected)
    assert (directory / "checks.json").is_file()


def test_any_is_silent_where_nothing_is_found(check, tmp_path):
    clean = write_directory(tmp_path / "clean", {"dpc_1": [ROWS[0], ROWS[1]]})
    assert check(clean, "--fail_on", "any")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail_on", "copys"], "Did you mean 'copies'?"),
        (["--fail_on", "near_copies"], "needs real rows"),
        (["--fail_on", "label_consistency"], "--learner"),
        (["--learner", "tiny"], "--train and --validation"),
        (["--task", "sst2", "--train", "x.csv"], "not both"),
        (["--data_dir", "x"], "--data_dir goes with --task"),
        (["--train", "nowhere.csv"], "'nowhere.csv' is no file"),
        (["--task", "toy"], "are not those of 'toy'"),
        (["--examples", "-1"], "--examples"),
        (["--trane", "x.csv"], "Did you mean '--train'?"),
    ],
)
def test_mistakes_are_one_line(check, directory, arguments, message):
    code, shown, errors = check(directory, *arguments)
    assert code == 2 and shown == ""
    assert errors.startswith("error: ") and message in errors and errors.count("\n") == 1
    assert not (directory / "checks.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("body,label\nx,positive\n", "has no column 'text'"),
        ("text,label\n,positive\nx,positive\n", "no value in row 0"),
        ("text,label\n", "no rows"),
        ("", "is empty"),
    ],
)
def test_real_rows_that_do_not_fit(check, directory, tmp_path, content, message):
    file = tmp_path / "real.csv"
    file.write_text(content, encoding="utf-8")
    code, _, errors = check(directory, "--test", file)
    assert code == 2 and message in errors and str(file) in errors


def test_no_directory(check, tmp_path):
    code, _, errors = check(tmp_path / "nothing")
    assert code == 2 and "nothing" in errors


def test_labels_are_needed_by_the_classifier_alone(check, directory, tmp_path):
    hidden = tmp_path / "test.jsonl"
    hidden.write_text('{"text": "so dull", "label": -1}\n', encoding="utf-8")
    assert check(directory, "--test", hidden, "--fail_on", "copies")[0] == 1
    code, _, errors = check(directory, "--train", hidden, "--validation", hidden, "--learner", "tiny")
    assert code == 2 and "label ids outside 0 to 1" in errors


NESTED = [
    {"meta": {"a": [1]}, "text": "A fine film!", "labels": 1, "tags": ["x"]},
    {"text": "so dull", "labels": 0, "tags": 7, "meta": {"a": [], "b": None}},
]


@pytest.mark.parametrize("as_array", [False, True])
def test_other_fields_of_real_rows_do_not_matter(check, directory, tmp_path, as_array):
    file = tmp_path / ("rows.json" if as_array else "rows.jsonl")
    lines = [json.dumps(row) for row in NESTED]
    file.write_text(f"[{','.join(lines)}]" if as_array else "\n".join(lines), encoding="utf-8")
    assert check(directory, "--train", file)[0] == 0
    checks = json.loads((directory / "checks.json").read_text())
    assert checks["real_rows"] == {"train": 2}
    assert checks["checks"]["copies"]["configs"]["dpc_1"]["train"] == {"exact": 0, "normalised": 2, "column": 0}
    code, _, errors = check(directory, "--train", file, "--validation", file, "--learner", "tiny")
    assert (code, errors) == (0, "")
    assert json.loads((directory / "checks.json").read_text())["checks"]["label_consistency"]["status"] != "not_run"
    file.write_text('{"text": "x", "tags": [1]}\n', encoding="utf-8")
    code, _, errors = check(directory, "--train", file, "--validation", file, "--learner", "tiny")
    assert code == 2 and "no column 'label'" in errors and errors.count("\n") == 1


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Sets of real toy messages, two of each label in each of five sets, with the labels of the data."""
    spec, dataset = load_data("toy")
    texts, labels = rows_and_labels(dataset["test"], spec)
    by_label = [[row for row, label in zip(texts, labels, strict=True) if label == k] for k in range(spec.num_labels)]
    rows = [
        DistilledRow(by_label[label][2 * number + i], label, number, 1.0)
        for number in range(5)
        for label in range(spec.num_labels)
        for i in range(2)
    ]
    path = tmp_path_factory.mktemp("toy") / "sets"
    path.mkdir()
    metadata = {"task": "toy", "arguments": {"seed": 42}, "ddg_hf_version": "1", "sampling": {}}
    write_distilled(path, {2: rows}, spec, metadata)
    return path


def test_task_and_classifier(check, toy):
    code, shown, _ = check(toy, "--task", "toy", "--learner", "tiny", "--fail_on", "label_consistency")
    checks = json.loads((toy / "checks.json").read_text())
    assert checks["real_rows"] == {"train": 3000, "validation": 400, "test": 400}
    copies = checks["checks"]["copies"]["configs"]["dpc_2"]
    assert (copies["status"], copies["test"]["exact"]) == ("fail", 60)
    labels = checks["checks"]["label_consistency"]["configs"]["dpc_2"]
    assert labels["classifier_accuracy"] > 0.3
    assert abs(labels["consistency"] - labels["classifier_accuracy"]) < 0.25
    assert code == (labels["status"] != "ok")
    assert "rows whose label a classifier confirms" in shown


def test_swapped_labels_are_noticed(check, toy, tmp_path):
    from ddg_hf.formats.directory import open_distilled

    directory = open_distilled(toy)
    rows = [
        DistilledRow(row.texts, (row.label + 1) % 6, row.set, 1.0)
        for rows in directory.sets("dpc_2").values()
        for row in rows
    ]
    path = tmp_path / "swapped"
    path.mkdir()
    write_distilled(path, {2: rows}, directory.spec, directory.metadata)
    code, _, errors = check(path, "--task", "toy", "--learner", "tiny", "--fail_on", "label_consistency")
    assert code == 1 and "label_consistency" in errors
    labels = json.loads((path / "checks.json").read_text())["checks"]["label_consistency"]["configs"]["dpc_2"]
    assert labels["status"] == "fail"


def test_help_answers_without_heavy_imports():
    program = "import sys; from recipes.check import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    program += (
        "print([name for name in ('torch', 'transformers', 'datasets', 'datasketch', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--fail_on" in done.stdout and done.stdout.rstrip().endswith("[]")


def test_output_that_cannot_be_written(check, directory):
    (directory.parent / "out").write_text("a file")
    code, _, errors = check(directory, "--output", directory.parent / "out" / "checks.json")
    assert code == 2 and "cannot write" in errors

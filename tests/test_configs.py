# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""YAML and the command line."""

from dataclasses import dataclass, field

import pytest

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser, load_yaml
from ddg_hf.errors import UserError
from ddg_hf.trainer.distillation_config import DistillationConfig
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig


@dataclass
class Lists:
    """A field with several values."""

    dpc: list[int] = field(default_factory=lambda: [5, 10])


@pytest.fixture
def parse(tmp_path):
    """Parses a YAML text and flags into (data, generator, learner, training) arguments of distillation."""

    def parse(yaml: str | None = None, *argv: str, training=DistillationConfig):
        parser = RecipeParser((DataArguments, GeneratorArguments, LearnerArguments, training))
        argv = ["--output_dir", str(tmp_path / "out"), *argv]
        if yaml is not None:
            (tmp_path / "config.yaml").write_text(yaml, encoding="utf-8")
            argv += ["--config", str(tmp_path / "config.yaml")]
        return parser.parse(argv)

    return parse


def test_command_line_wins_over_yaml_wins_over_defaults(parse):
    data, generator, _, training = parse(
        "task: sst2\nmax_steps: 7\ninner_steps: 3\ngenerator: a\n", "--max_steps", "9", "--generator=b"
    )
    assert (data.task, training.max_steps, training.inner_steps) == ("sst2", 9, 3)
    assert generator.generator == "b"
    assert training.learner_steps == 20


def test_yaml_can_give_what_the_command_line_would_have_to(tmp_path):
    (tmp_path / "config.yaml").write_text(f"output_dir: {tmp_path}\n")
    parser = RecipeParser((DistillationConfig,))
    (training,) = parser.parse([f"--config={tmp_path / 'config.yaml'}"])
    assert training.output_dir == str(tmp_path)


@pytest.mark.parametrize("value", ["5e-5", "5.0e-5", "0.00005", '"5e-5"'])
def test_floats(parse, value):
    """YAML reads 5e-5, without a point, as a string."""
    assert parse(f"learning_rate: {value}")[3].learning_rate == 5e-5
    assert parse("learning_rate: 1")[3].learning_rate == 1.0
    assert isinstance(parse("learning_rate: 1")[3].learning_rate, float)


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), ("yes", True), ('"no"', False)])
def test_booleans(parse, value, expected):
    _, generator, _, training = parse(
        f"trim_vocabulary: {value}\nuse_peft: {value}", training=GeneratorPretrainingConfig
    )
    assert training.trim_vocabulary is expected
    assert generator.use_peft is expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], False),
        (["--trim_vocabulary"], True),
        (["--trim_vocabulary", "true"], True),
        (["--no_trim_vocabulary"], False),
    ],
)
def test_boolean_flags_win_over_yaml(parse, flags, expected):
    training = parse("trim_vocabulary: false", *flags, training=GeneratorPretrainingConfig)[3]
    assert training.trim_vocabulary is expected
    training = parse("trim_vocabulary: true", "--no_trim_vocabulary", training=GeneratorPretrainingConfig)[3]
    assert training.trim_vocabulary is False


@pytest.mark.parametrize("value", ["[a, b]", "a,b", '"a, b"'])
def test_columns_as_list_or_comma_separated(parse, value):
    assert parse(f"text_columns: {value}")[0].text_columns == ["a", "b"]
    assert parse(None, "--text_columns", "a, b")[0].text_columns == ["a", "b"]


@pytest.mark.parametrize(("value", "expected"), [("[1, 2]", [1, 2]), ("[3]", [3]), ("3", [3])])
def test_lists(tmp_path, value, expected):
    (tmp_path / "config.yaml").write_text(f"dpc: {value}\n")
    assert RecipeParser((Lists,)).parse(["--config", str(tmp_path / "config.yaml")])[0].dpc == expected
    assert RecipeParser((Lists,)).parse(["--dpc", "7", "8"])[0].dpc == [7, 8]
    assert RecipeParser((Lists,)).parse([])[0].dpc == [5, 10]


def test_null_leaves_an_optional_field_empty(parse):
    assert parse("task: null")[0].task is None
    assert parse("")[0].task is None


@pytest.mark.parametrize(
    ("yaml", "argv", "message"),
    [
        ("lerning_rate: 1.0", [], r"config.yaml: unknown key 'lerning_rate'. Did you mean 'learning_rate'\?"),
        (None, ["--inner_step", "3"], r"unknown argument '--inner_step'. Did you mean 'inner_steps'\?"),
        (None, ["--inner-stepz=3"], r"unknown argument '--inner-stepz'. Did you mean 'inner_steps'\?"),
        (None, ["--zzzzqqq", "3"], r"unknown argument '--zzzzqqq'\.$"),
        (None, ["stray"], "unknown argument 'stray'"),
        (None, ["--max_steps", "many"], "max_steps.*many"),
        ("max_steps: many", [], "max_steps.*many"),
        ("max_steps: 1.5", [], "max_steps.*1.5"),
        ("max_steps: [1, 2]", [], "max_steps"),
        ("bf16: maybe", [], "maybe"),
        (None, ["--student", "emma"], "student.*emma.*ema"),
        ("student: emma", [], "student.*emma.*ema"),
        ("dtype: float3", [], "dtype.*float3.*float32"),
        ("normalize_temperature: 0", [], "--normalize_temperature must be positive"),
        ("- a\n- b", [], "list"),
        ("a: [", [], "not valid YAML"),
        ("1: x", [], "unknown key '1'"),
        ("on: x", [], "unknown key 'True'"),
    ],
)
def test_mistakes_are_one_line(parse, yaml, argv, message):
    with pytest.raises(UserError, match=message) as error:
        parse(yaml, *argv)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("argv", [["--config", "no/such.yaml"], ["--config"]])
def test_missing_config_file(argv):
    with pytest.raises(UserError, match="no/such.yaml|--config needs"):
        RecipeParser((DataArguments,)).parse(argv)


def test_yaml_that_is_not_utf_8(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("task: é".encode("latin-1"))
    with pytest.raises(UserError, match="config.yaml as UTF-8") as error:
        load_yaml(str(path))
    assert "\n" not in str(error.value)


def test_fields_that_are_set_by_us_are_no_flags(parse):
    """`label_names` is the data set's, although TrainingArguments has a field of that name."""
    data, _, _, training = parse("label_names: [a, b]")
    assert data.label_names == ["a", "b"]
    assert training.label_names is None


def test_load_yaml_of_nothing(tmp_path):
    (tmp_path / "a.yaml").write_text("# only a comment\n")
    assert load_yaml(str(tmp_path / "a.yaml")) == {}

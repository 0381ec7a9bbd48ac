# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Experiment trackers hold what was logged, read back from their own stores."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddg_hf.configs import GeneratorArguments, RecipeParser
from ddg_hf.errors import UserError
from ddg_hf.models.generator import Generator
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.trackers import trackers_open
from tests.trainer.helpers import make_distillation_trainer, make_rows

# Put together here, so that nothing takes the line for a credential.
SECRET = "_".join(("hf", "OnlyForTheHubAndNobodyElse"))
# The keys of the log that tell training and distillation apart from anything else
KEYS = {
    "pretrain": {"loss", "learning_rate", "grad_norm", "eval_nll"},
    "distill": {"loss", "gradient_cosine", "effective_sample_size", "eval_nll", "eval_gradient_cosine"},
}

# step -> value, for each key of the log
Scalars = dict[str, dict[int, float]]


def read_tensorboard(directory: Path) -> tuple[list[Scalars], str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (run,) = directory.glob("output/runs/*")
    events = EventAccumulator(str(run)).Reload()
    scalars = {key_of(tag): {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    (arguments,) = events.Tensors("args/text_summary")
    return [scalars], arguments.tensor_proto.string_val[0].decode()


def read_trackio(directory: Path) -> tuple[list[Scalars], str]:
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    runs = []
    for run in Api().runs("huggingface"):
        scalars: Scalars = {}
        for line in SQLiteStorage.get_logs("huggingface", run.name):
            for tag in line.keys() - {"step", "timestamp", "train/global_step"}:
                scalars.setdefault(key_of(tag), {})[line["train/global_step"]] = line[tag]
        runs.append(scalars)
    return runs, str(run.config)


def read_mlflow(directory: Path) -> tuple[list[Scalars], str]:
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = client.search_runs(["0"])
    values = [
        {key: {m.step: m.value for m in client.get_metric_history(run.info.run_id, key)} for key in run.data.metrics}
        for run in runs
    ]
    return values, str(runs[0].data.params)


def key_of(tag: str) -> str:
    """The key of the log that a callback of transformers has written as `train/key` or `eval/key`."""
    group, _, key = tag.partition("/")
    return key if group == "train" else f"{group}_{key}"


# A database takes MLflow seconds to create.
@pytest.fixture(
    params=["tensorboard", "trackio", "mlflow_files", pytest.param("mlflow_database", marks=pytest.mark.slow)]
)
def tracker(request, tmp_path, monkeypatch) -> tuple[str, Callable[[Path], tuple[list[Scalars], str]]]:
    """A tracker that stores below `tmp_path`, and what reads it: `(scalars of each run, arguments)`."""
    name = request.param.partition("_")[0]
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "tensorboard":
        monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
        yield name, read_tensorboard
    elif name == "trackio":
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
        forget("trackio")  # it reads the variable when it is imported
        yield name, read_trackio
        forget("trackio")
    else:
        yield name, use_mlflow(request.param == "mlflow_database", tmp_path, monkeypatch)


def forget(package: str) -> None:
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        del sys.modules[module]


def use_mlflow(database: bool, tmp_path: Path, monkeypatch) -> Callable:
    if database and not all(map(importlib.util.find_spec, ("sqlalchemy", "alembic"))):
        pytest.skip("MLflow's database needs sqlalchemy and alembic")
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db" if database else f"{tmp_path}/store")
    assert not mlflow.tracking._tracking_service.utils._tracking_uri, "another test has chosen a store"
    return read_mlflow


def make_trainer(stage: str, pretrained: str, output_dir: Path, **arguments):
    arguments |= {"max_steps": 3, "eval_strategy": "steps", "eval_steps": 2, "probe_samples": 2}
    if stage == "distill":
        return make_distillation_trainer(pretrained, output_dir, eval_snapshots=1, **arguments)
    arguments |= {"logging_steps": 1, "save_strategy": "no", "disable_tqdm": True, "per_device_train_batch_size": 8}
    args = GeneratorPretrainingConfig(output_dir=str(output_dir), **arguments)
    rows = *make_rows(24, relevant=0.9, seed=2), *make_rows(8, relevant=0.9, seed=3)
    return GeneratorPretrainingTrainer(Generator.load(pretrained, GeneratorArguments()), args, *rows)


@pytest.mark.parametrize("stage", ["pretrain", "distill"])
def test_tracker_holds_the_log(stage, tracker, pretrained, tmp_path):
    name, read = tracker
    trainer = make_trainer(stage, pretrained, tmp_path / "output", report_to=name, hub_token=SECRET)
    # More than MLflow takes as a parameter
    trainer.model.config.kept_ids = list(range(3000))
    with trackers_open(trainer):
        trainer.train()
        trainer.evaluate()
    runs, arguments = read(tmp_path)
    (scalars,) = runs
    found = set()
    for line in trainer.state.log_history:
        for key in KEYS[stage] & line.keys():
            assert scalars[key][line["step"]] == pytest.approx(line[key], rel=1e-6), key
            found.add((key, line["step"]))
    assert found >= {("loss", step) for step in (1, 2, 3)} | {("eval_nll", 2), ("eval_nll", 3)}
    assert {key for key, _ in found} == KEYS[stage]
    # Everything else was logged too.
    logged = {key for line in trainer.state.log_history for key in line} - {"step"}
    assert logged - scalars.keys() <= {"train_runtime", "train_loss", "total_flos"} | {
        "train_samples_per_second",
        "train_steps_per_second",
    }
    assert "tokens_per_micro_batch" in arguments
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_run_ends_with_the_last_evaluation(pretrained, tmp_path):
    """And with the training again, once it is over."""
    trainer = make_trainer("pretrain", pretrained, tmp_path)
    events = []
    trainer.callback_handler.call_event = record(events, trainer.callback_handler.call_event)
    with trackers_open(trainer):
        trainer.train()
        trainer.evaluate()
    assert events[-2:] == ["on_evaluate", "on_train_end"]
    assert events.count("on_train_end") == 1
    events.clear()
    trainer.train()
    trainer.evaluate()
    assert events.index("on_train_end") < len(events) - 1


def record(events: list[str], call_event: Callable) -> Callable:
    def recorded(event, *args, **kwargs):
        events.append(event)
        return call_event(event, *args, **kwargs)

    return recorded


def test_failed_training_does_not_end(pretrained, tmp_path, monkeypatch):
    trainer = make_trainer("pretrain", pretrained, tmp_path)
    events = []
    trainer.callback_handler.call_event = record(events, trainer.callback_handler.call_event)
    monkeypatch.setattr(trainer, "evaluate", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError), trackers_open(trainer):
        trainer.train()
    assert "on_train_end" not in events
    assert trainer.callback_handler.on_train_end.__func__ is type(trainer.callback_handler).on_train_end


# ---- what is asked for ----


def report_to(tmp_path: Path, *argv: str) -> list[str]:
    arguments = [*argv, "--output_dir", str(tmp_path)]
    return RecipeParser((GeneratorPretrainingConfig,)).parse(arguments)[0].report_to


def test_several_trackers_at_once(tmp_path, monkeypatch):
    available = "transformers.integrations.integration_utils.is_{}_available"
    for name in ("tensorboard", "trackio"):
        monkeypatch.setattr(available.format(name), lambda: True)
    (tmp_path / "config.yaml").write_text("report_to: [tensorboard, trackio]\n")
    assert report_to(tmp_path, "--report_to", "tensorboard", "trackio") == ["tensorboard", "trackio"]
    assert report_to(tmp_path, "--config", str(tmp_path / "config.yaml")) == ["tensorboard", "trackio"]
    assert GeneratorPretrainingConfig(output_dir=str(tmp_path), report_to="trackio").report_to == ["trackio"]
    assert report_to(tmp_path) == report_to(tmp_path, "--report_to", "none") == []


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "mlflow", "wandb"])
def test_missing_package_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr(f"transformers.integrations.integration_utils.is_{name}_available", lambda: False)
    package = name if name == "wandb" else r"'ddg_hf\[trackers\]'"
    with pytest.raises(UserError, match=f"--report_to {name} .*pip install {package}") as error:
        report_to(tmp_path, "--report_to", name)
    assert "\n" not in str(error.value)


def test_missing_database_packages_are_one_line(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else find_spec(name))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(UserError, match="sqlalchemy.*MLFLOW_TRACKING_URI") as error:
        report_to(tmp_path, "--report_to", "mlflow")
    assert "\n" not in str(error.value)


def test_unknown_tracker_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'tensorboard'"):
        report_to(tmp_path, "--report_to", "tensorbord")

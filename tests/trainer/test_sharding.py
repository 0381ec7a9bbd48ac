# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Generators sharded by FSDP2 and DeepSpeed ZeRO: what engines ask of a trainer, and that they train the same."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, set_hf_deepspeed_config

from ddg_hf.configs import GeneratorArguments
from ddg_hf.errors import UserError
from ddg_hf.models.generator import Generator
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.sharding import check_engine, full_precision_state_dict, gathered, load_full_state_dict
from tests.trainer.helpers import assert_equal, make_distillation_trainer, make_rows, weights

ROOT = Path(__file__).resolve().parents[2]


class Engine(DistributedDataParallel):
    """Stands for what accelerate wraps a model in, and writes down what is done with model and gradients."""

    def __init__(self, trainer, monkeypatch):
        nn.Module.__init__(self)
        self.module, self.events, self.inside = trainer.model, [], False
        trainer.model_wrapped = self
        accelerator, backward = trainer.accelerator, trainer.accelerator.backward

        def recorded_backward(loss, **kwargs):
            self.events.append(f"backward, {'sync' if accelerator.sync_gradients else 'no sync'}")
            backward(loss, **kwargs)

        @contextlib.contextmanager
        def no_sync(model):
            assert model is self
            self.unsynchronised = True
            yield
            self.unsynchronised = False

        self.unsynchronised = False
        monkeypatch.setattr(accelerator, "backward", recorded_backward)
        monkeypatch.setattr(accelerator, "no_sync", no_sync)
        self.module.register_forward_pre_hook(self._called)

    def _called(self, module, args) -> None:
        self.events.append(("forward" if self.inside else "bare forward") + (" with grad" * torch.is_grad_enabled()))

    def forward(self, **batch):
        self.inside = True
        try:
            return self.module(**batch)
        finally:
            self.inside = False


def make_pretraining_trainer(pretrained: str, output_dir: Path, **arguments) -> GeneratorPretrainingTrainer:
    args = GeneratorPretrainingConfig(output_dir=str(output_dir), tokens_per_micro_batch=12, **arguments)
    generator = Generator.load(pretrained, GeneratorArguments())
    return GeneratorPretrainingTrainer(generator, args, *make_rows(16, relevant=0.9, seed=2))


def pretraining_step(trainer, engine, num_rows: int) -> None:
    inputs = trainer._collate([trainer.train_dataset[i] for i in range(num_rows)])
    trainer.training_step(engine, inputs, torch.tensor(16))


# ---- what engines ask of a trainer ----


def test_as_many_micro_batches_on_every_process(pretrained, tmp_path, monkeypatch):
    """Two processes with 16 and 3 rows make the same passes, and together the gradient of 19 rows in one."""
    counts, gradients, passes = [], [], []
    for num_rows in (16, 3):
        trainer = make_pretraining_trainer(pretrained, tmp_path)
        counts.append(len(trainer.micro_batches(inputs_lengths(trainer, num_rows))))
    assert counts[0] > counts[1]
    monkeypatch.setattr(GeneratorPretrainingConfig, "world_size", 2)
    for num_rows in (16, 3):
        trainer = make_pretraining_trainer(pretrained, tmp_path)
        engine = Engine(trainer, monkeypatch)
        monkeypatch.setattr(trainer.accelerator, "gather", lambda count: torch.tensor(counts))
        inputs = trainer._collate([trainer.train_dataset[i] for i in range(num_rows)])
        trainer.training_step(engine, inputs, torch.tensor(19))
        gradients.append({n: p.grad for n, p in trainer.model.named_parameters()})
        passes.append(engine.events)
    assert passes[0] == passes[1]
    assert len(passes[0]) == 2 * counts[0]
    generator = trainer.generator
    samples = [trainer.train_dataset[i][1] for i in [*range(16), *range(3)]]
    generator.model.zero_grad()
    generator.model.eval()(**generator.collate(samples))["nll"].mean().backward()
    for name, parameter in generator.model.named_parameters():
        together = (gradients[0][name] + gradients[1][name]) / 2  # as an engine averages them
        torch.testing.assert_close(together, parameter.grad, rtol=1e-4, atol=1e-6)


def inputs_lengths(trainer, num_rows: int) -> list[int]:
    return [len(trainer.train_dataset[i][1]) for i in range(num_rows)]


def test_one_process_has_no_padding(pretrained, tmp_path):
    assert make_pretraining_trainer(pretrained, tmp_path).padded([[0, 1], [2]]) == [[0, 1], [2]]


@pytest.mark.parametrize("last_step", [True, False], ids=["last step", "earlier step"])
@pytest.mark.parametrize("stage", ["pretrain", "distill"])
def test_forward_and_backward_through_the_engine(stage, last_step, pretrained, tmp_path, monkeypatch):
    """
    Gradients come from the engine's forward alone, and are synchronised on the last micro-batch of the last
    accumulation step; texts are sampled with the model itself.
    """
    if stage == "pretrain":
        trainer = make_pretraining_trainer(pretrained, tmp_path)
        engine = Engine(trainer, monkeypatch)
        trainer.accelerator.gradient_state._set_sync_gradients(last_step)
        pretraining_step(trainer, engine, 16)
    else:
        arguments = {"tokens_per_micro_batch": 30, "max_graph_tokens": 0}
        trainer = make_distillation_trainer(pretrained, tmp_path, **arguments)
        engine = Engine(trainer, monkeypatch)
        trainer.accelerator.gradient_state._set_sync_gradients(last_step)
        trainer.training_step(engine, {"step": [0]})
        # Those that sample and measure have no gradient.
        assert "bare forward" in engine.events
    assert "bare forward with grad" not in engine.events
    passes = [event for event in engine.events if event.startswith("backward") or event.endswith("with grad")]
    assert passes[::2] == ["forward with grad"] * (len(passes) // 2)
    assert len(passes) // 2 > 2
    assert passes[1:-1:2] == ["backward, no sync"] * (len(passes) // 2 - 1)
    assert passes[-1] == ("backward, sync" if last_step else "backward, no sync")
    assert trainer.accelerator.sync_gradients == last_step
    assert not engine.unsynchronised


def test_samples_come_from_the_unwrapped_model(pretrained, tmp_path, monkeypatch):
    trainer = make_pretraining_trainer(pretrained, tmp_path)
    engine = Engine(trainer, monkeypatch)
    targets = trainer.sample_targets(3, "seed")
    assert {label: len(rows) for label, rows in targets.items()} == {0: 3, 1: 3}
    assert set(engine.events) == {"bare forward"}


def test_gathering_a_whole_model_can_be_nested(pretrained, tmp_path, monkeypatch):
    trainer = make_pretraining_trainer(pretrained, tmp_path)
    engine = Engine(trainer, monkeypatch)
    before = weights(trainer)
    with gathered(engine) as outer, gathered(engine) as inner:
        assert outer is inner is trainer.model
    assert_equal(weights(trainer), before)


def test_whole_state_dict_of_an_ordinary_model(pretrained, tmp_path):
    trainer = make_pretraining_trainer(pretrained, tmp_path)
    state = {name: value + 1 for name, value in weights(trainer).items() if "wpe" not in name}
    missing, unexpected = load_full_state_dict(trainer.model, state | {"other": torch.zeros(1)})
    assert (missing, unexpected) == (["transformer.wpe.weight"], ["other"])
    loaded = weights(trainer)
    assert_equal({name: loaded[name] for name in state}, state)
    assert_equal(full_precision_state_dict(trainer.model, loaded), loaded)


def test_other_models_are_loaded_whole(tmp_path, monkeypatch):
    """Whatever the launcher asks for: the learner is not sharded."""
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")

    class Config:
        def is_zero3(self):
            return True

    config = Config()  # transformers has a weak reference to it
    set_hf_deepspeed_config(config)
    assert is_deepspeed_zero3_enabled()
    GeneratorPretrainingConfig(output_dir=str(tmp_path))
    assert not is_deepspeed_zero3_enabled()
    assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "False"


# ---- what cannot be trained ----


def accelerator_with(fsdp=None, zero=None):
    return SimpleNamespace(state=SimpleNamespace(fsdp_plugin=fsdp, deepspeed_plugin=zero))


def fsdp_plugin(version: int = 2, kind: str = "StateDictType.FULL_STATE_DICT"):
    return SimpleNamespace(fsdp_version=version, state_dict_type=kind)


def zero_plugin(stage: int, gather: bool = True):
    config = {"zero_optimization": {"stage": stage, "stage3_gather_16bit_weights_on_model_save": gather}}
    return SimpleNamespace(zero_stage=stage, deepspeed_config=config)


def lora():
    model = nn.Linear(1, 1)
    model.merge_and_unload = lambda: model
    return model


@pytest.mark.parametrize(
    ("accelerator", "model", "message"),
    [
        (accelerator_with(fsdp=fsdp_plugin(version=1)), nn.Linear(1, 1), "fsdp_version: 2"),
        (accelerator_with(fsdp=fsdp_plugin(kind="SHARDED_STATE_DICT")), nn.Linear(1, 1), "FULL_STATE_DICT"),
        (accelerator_with(zero=zero_plugin(3, gather=False)), nn.Linear(1, 1), "zero3_save_16bit_model: true"),
        (accelerator_with(fsdp=fsdp_plugin()), lora(), "ddp.yaml"),
        (accelerator_with(zero=zero_plugin(3)), lora(), "zero2.yaml"),
    ],
    ids=["FSDP 1", "sharded checkpoints", "16-bit shards", "LoRA and FSDP2", "LoRA and ZeRO-3"],
)
def test_what_is_refused(accelerator, model, message):
    with pytest.raises(UserError, match=message) as error:
        check_engine(accelerator, model)
    assert "\n" not in str(error.value)


def test_what_is_accepted():
    for accelerator in (accelerator_with(fsdp=fsdp_plugin()), accelerator_with(zero=zero_plugin(3))):
        check_engine(accelerator, nn.Linear(1, 1))
    for accelerator in (accelerator_with(), accelerator_with(zero=zero_plugin(2, gather=False))):
        check_engine(accelerator, lora())


# ---- the engines themselves, with two processes on the CPU ----

ENGINES = ["fsdp2", "zero2", "zero3"]


def run(pretrained: str, output: Path, engine: str | None) -> Path:
    """Runs `sharded_run.py`, plainly or with two processes under one of accelerate_configs/."""
    if engine in ("zero2", "zero3") and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    launcher = []
    if engine is not None:
        config = str(ROOT / "accelerate_configs" / f"{engine}.yaml")
        launcher = ["-m", "accelerate.commands.launch", "--config_file", config]
        launcher += ["--num_processes", "2", "--main_process_port", "0"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *launcher, str(ROOT / "tests" / "trainer" / "sharded_run.py"), pretrained, str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    errors = [line for line in done.stderr.splitlines() if line.startswith("[rank") and "Warning" not in line]
    assert done.returncode == 0, "\n".join(errors[-30:]) or done.stderr[-3000:]
    processes = 1 if engine is None else 2
    assert done.stdout.count(f"{processes} processes, sharded: {engine is not None}") == processes
    return output


@pytest.fixture(scope="module")
def plain(pretrained, tmp_path_factory):
    return run(pretrained, tmp_path_factory.mktemp("plain"), None)


@pytest.fixture(scope="module", params=ENGINES)
def sharded(request, pretrained, tmp_path_factory):
    return run(pretrained, tmp_path_factory.mktemp(request.param), request.param)


def change(directory: Path, pretrained: str) -> dict[str, torch.Tensor]:
    before = load_file(Path(pretrained) / "model.safetensors")
    after = load_file(directory / "model.safetensors")
    assert {name: value.shape for name, value in after.items()} == {n: v.shape for n, v in before.items()}
    return {name: value.double() - before[name].double() for name, value in after.items()}


def norm(tensors: dict[str, torch.Tensor]) -> float:
    return torch.cat([value.flatten() for value in tensors.values()]).norm().item()


def history(directory: Path) -> list[dict[str, float]]:
    return json.loads((directory / "trainer_state.json").read_text())["log_history"]


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "distill"])
def test_sharded_processes_train_what_one_does(sharded, plain, pretrained, stage):
    ours, theirs = change(sharded / stage, pretrained), change(plain / stage, pretrained)
    assert norm(theirs) > 1e-4
    assert norm({name: ours[name] - theirs[name] for name in ours}) <= 1e-3 * norm(theirs)
    for key in ("loss", "grad_norm", "eval_nll", "eval_malformed_rate", "eval_gradient_cosine"):
        values = [[line[key] for line in history(d / stage) if key in line] for d in (sharded, plain)]
        assert values[0] == pytest.approx(values[1], rel=1e-3, abs=1e-6), key
        assert values[1] or key == "eval_gradient_cosine"
    # What makes it hard: the processes did not have the same to do.
    counts = [json.loads((sharded / stage / f"counts_{process}.json").read_text()) for process in (0, 1)]
    assert counts[0] != counts[1]


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "distill"])
def test_sharded_processes_sample_what_one_does(sharded, plain, stage):
    samples = [json.loads((d / stage / "samples_0.json").read_text()) for d in (sharded, plain)]
    assert samples[0] == samples[1]
    assert json.loads((sharded / stage / "samples_1.json").read_text()) == samples[1][:1]


@pytest.mark.distributed
@pytest.mark.slow
def test_sharded_run_resumes(sharded):
    assert_equal(load_file(sharded / "resumed/model.safetensors"), load_file(sharded / "pretrain/model.safetensors"))
    losses = [[line["loss"] for line in history(sharded / d) if "loss" in line] for d in ("resumed", "pretrain")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


@pytest.mark.distributed
@pytest.mark.slow
def test_sharded_run_loads_its_best_checkpoint(sharded):
    state = json.loads((sharded / "best" / "trainer_state.json").read_text())
    assert state["best_global_step"] == 2
    best = load_file(sharded / "best" / "model.safetensors")
    assert_equal(best, load_file(sharded / "best" / "checkpoint-2" / "model.safetensors"))
    last = load_file(sharded / "best" / "checkpoint-4" / "model.safetensors")
    assert not torch.equal(best["transformer.wte.weight"], last["transformer.wte.weight"])

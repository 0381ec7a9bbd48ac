# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The accelerate configurations load, say what their names promise, and start processes that form a group."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from accelerate import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.run import get_rdzv_endpoint

CONFIGS = Path(__file__).resolve().parents[1] / "accelerate_configs"

# name -> (distributed type, processes over all machines, machines, on the CPU)
EXPECTED = {
    "single": ("NO", 1, 1, False),
    "cpu": ("NO", 1, 1, True),
    "cpu_ddp": ("MULTI_GPU", 2, 1, True),
    "ddp": ("MULTI_GPU", 4, 1, False),
    "fsdp2": ("FSDP", 4, 1, False),
    "zero2": ("DEEPSPEED", 4, 1, False),
    "zero3": ("DEEPSPEED", 4, 1, False),
    "multi_node": ("MULTI_GPU", 8, 2, False),
}

# What a recipe does first, run with --use_cpu. Each process writes a sum over the group, so it hears from the others.
PROBE = """
import json, sys
import torch
from transformers import TrainingArguments
arguments = TrainingArguments(output_dir=sys.argv[1], use_cpu=True)
total = torch.tensor(float(arguments.process_index + 1))
if torch.distributed.is_initialized():
    torch.distributed.all_reduce(total)
answer = {"device": arguments.device.type, "processes": arguments.world_size, "total": total.item()}
answer["backend"] = torch.distributed.get_backend() if torch.distributed.is_initialized() else None
with open(f"{sys.argv[1]}/{arguments.process_index}.json", "w") as file:
    json.dump(answer, file)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def load(name: str) -> ClusterConfig:
    return load_config_from_file(str(CONFIGS / f"{name}.yaml"))


def test_every_file_is_covered():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_loads_and_matches_its_name(name):
    config = load(name)
    found = (config.distributed_type.value, config.num_processes, config.num_machines, config.use_cpu)
    assert found == EXPECTED[name]
    assert config.mixed_precision == "no"


def test_four_gpus_use_the_documented_port():
    assert load("ddp").main_process_port == 37621


def dry_run(name: str, monkeypatch, look):
    """What `look` sees where `accelerate launch` would start its processes, and the launcher's arguments."""
    seen = []
    # What the launcher imports of DeepSpeed is the name of a file of more environment variables.
    runner = ModuleType("deepspeed.launcher.runner")
    runner.DEEPSPEED_ENVIRONMENT_NAME = "no_such_file"
    for module in (ModuleType("deepspeed"), ModuleType("deepspeed.launcher"), runner):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("accelerate.commands.launch.is_deepspeed_available", lambda: True)
    monkeypatch.setattr("torch.distributed.run.run", lambda arguments: seen.append((look(), arguments)))
    # A port that is taken would be replaced by a free one.
    monkeypatch.setattr("accelerate.utils.launch.is_port_in_use", lambda port: False)
    launch_command(
        launch_command_parser().parse_args(["--config_file", str(CONFIGS / f"{name}.yaml"), "train.py", "--seed", "1"])
    )
    return seen[0]


@pytest.mark.parametrize(("name", "per_machine"), [("ddp", 4), ("fsdp2", 4), ("zero2", 4), ("zero3", 4)])
def test_launcher_starts_one_process_per_gpu(name, per_machine, monkeypatch):
    environment, arguments = dry_run(name, monkeypatch, lambda: dict(os.environ))
    assert (int(arguments.nproc_per_node), arguments.master_port) == (per_machine, "37621")
    assert (arguments.training_script, arguments.training_script_args) == ("train.py", ["--seed", "1"])
    assert environment["ACCELERATE_MIXED_PRECISION"] == "no"
    assert ("ACCELERATE_USE_FSDP" in environment) == (name == "fsdp2")
    assert ("ACCELERATE_USE_DEEPSPEED" in environment) == (name in ("zero2", "zero3"))


def test_launcher_describes_two_machines(monkeypatch):
    _, arguments = dry_run("multi_node", monkeypatch, lambda: None)
    assert (arguments.nnodes, int(arguments.nproc_per_node), arguments.node_rank) == ("2", 4, 0)
    assert get_rdzv_endpoint(arguments) == "127.0.0.1:37621"


def test_fsdp2_processes_build_the_plugin_that_is_meant(monkeypatch):
    plugin, _ = dry_run("fsdp2", monkeypatch, FullyShardedDataParallelPlugin)
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"
    # Checkpoints are whole, and so is the learner of every process.
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert plugin.cpu_ram_efficient_loading is False


@pytest.mark.parametrize(("name", "stage"), [("zero2", 2), ("zero3", 3)])
def test_deepspeed_processes_build_the_plugin_that_is_meant(name, stage, monkeypatch):
    plugin, _ = dry_run(name, monkeypatch, DeepSpeedPlugin)
    zero = plugin.deepspeed_config["zero_optimization"]
    assert (plugin.zero_stage, zero["stage"]) == (stage, stage)
    assert (zero["offload_optimizer"]["device"], zero["offload_param"]["device"]) == ("none", "none")
    assert zero["stage3_gather_16bit_weights_on_model_save"] is (stage == 3)
    assert plugin.zero3_init_flag is False
    # Filled in with --max_grad_norm and --gradient_accumulation_steps
    assert plugin.deepspeed_config["gradient_clipping"] == "auto"
    assert plugin.deepspeed_config["gradient_accumulation_steps"] == "auto"


@pytest.mark.distributed
@pytest.mark.parametrize(("name", "processes"), [("cpu", 1), ("cpu_ddp", 2)])
def test_launch_forms_a_group(name, processes, tmp_path):
    script = tmp_path / "probe.py"
    script.write_text(PROBE)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / f"{name}.yaml")]
    result = subprocess.run(
        [*command, str(script), str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    answers = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    expected = {
        "device": "cpu",
        "processes": processes,
        "total": sum(range(1, processes + 1)),
        "backend": "gloo" if processes > 1 else None,
    }
    assert answers == [expected] * processes

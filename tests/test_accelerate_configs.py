# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The accelerate configurations load, say what their names promise, and start processes that form a group."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

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


def test_sharded_runs_save_whole_checkpoints():
    assert load("fsdp2").fsdp_config["fsdp_version"] == 2
    assert load("fsdp2").fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    assert load("zero2").deepspeed_config["zero_stage"] == 2
    assert load("zero3").deepspeed_config["zero_stage"] == 3
    assert load("zero3").deepspeed_config["zero3_save_16bit_model"] is True


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

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How the benchmarks print: one JSON object, with what it was measured on."""

import json
import os
import platform
import sys
from pathlib import Path

import torch


def print_result(result: dict) -> None:
    """Prints `result` with four significant digits, after the command, the machine and the version of torch."""
    arguments = [Path(argument).name if os.path.isabs(argument) else argument for argument in sys.argv[1:]]
    command = ["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]
    setting = {
        "command": " ".join(command),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(setting | rounded(result), indent=2))


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value

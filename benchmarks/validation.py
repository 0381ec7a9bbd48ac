# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How the experiments test sets in context on validation rows."""

import contextlib
import json
import sys
from pathlib import Path


def evaluate_once(sets: Path, results: Path, task: str, data_dir: str | None, model: str, number: int) -> list[dict]:
    """
    Evaluates a directory of sets, if that is not done yet. Returns the rows of its table.

    Raises:
        UserError: it was evaluated with another model or another number of rows.
    """
    from ddg_hf.errors import UserError
    from ddg_hf.recipes import evaluate_icl

    if (results / "metadata.json").is_file():
        before = json.loads((results / "metadata.json").read_text())["arguments"]
        if (before["model"], before["test_number"]) != (model, number):
            raise UserError(
                f"'{results}' has {before['test_number']} rows by '{before['model']}', not {number} by '{model}'; "
                "delete it, or choose another --output_dir"
            )
    else:
        argv = ["--task", task, "--distilled", str(sets), "--model", model, "--split", "validation"]
        argv += ["--data_dir", data_dir] if data_dir else []
        argv += ["--test_number", str(number), "--output_dir", str(results)]
        with contextlib.redirect_stdout(sys.stderr):
            evaluate_icl.main(argv)
    return json.loads((results / "results.json").read_text())["aggregates"]

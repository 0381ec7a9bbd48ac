# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Which settings of distillation, sampling and pretraining are best? Several of each, on validation rows.

    python benchmarks/distillation_search.py --study runs/sst2/study_cpu --config recipes/sst2/study_cpu.yaml \\
        --output_dir runs/sst2/distillation_search --data_dir data --generator "$(ddg-hf models --path gemma)" \\
        --model "$(ddg-hf models --path gemma)" --learner "$(ddg-hf models --path minilm)" \\
        --settings '{"lm_only": null, "6e-5": {"distill": {"learning_rate": 6e-5}}}'

`--settings` has the changes to the options of the commands, by the name of the setting; `null` in their place, or in
that of the options of `distill`, is a generator that is not distilled:

    --settings '{"cold": {"distill": null, "generate": {"sampling_temperature": 0.7}}}'

Every setting is a small study of its own (five sets of 5 and 10 rows per class, 200 validation queries). It takes the
pretrained generator of `--study`, unless it changes `pretrain`; what is done is not done again. Several such command
lines at once divide the work. More options are those of `ddg-hf study`.

`--less` names settings, and `icl/` directories of studies on the same queries, with which each later setting is
compared, paired by query:

    --less lm_only runs/sst2/search_base/cells/icl/balanced

Prints one JSON object. Exit code 1: some settings failed, such as one whose generator writes no good texts any more;
their `failed` says which commands.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from ddg_hf.errors import UserError

PRETRAINED = "pretrain/seed_0"
SMALL = {
    "dpc": [5, 10],
    "num_sets": 5,
    "training_seeds": 1,
    "set_counts": {},
    "seed_counts": {},
    "split": "validation",
    "test_number": 200,
    "learner_sets": 1,
    "learner_dpc": [5],
    "unseen_learners": None,
}


def prepare(study: Path, base: dict, changes: dict | None, directory: Path) -> Path:
    """
    Writes the configuration of one setting, and lends it the pretrained generator if that is the one it needs. Returns
    the configuration.
    """
    changes = {"distill": None} if changes is None else changes
    method = "lm_only" if changes.get("distill", {}) is None else "ddg"
    config = base | SMALL | {"methods": [method], "output_dir": str(directory)}
    config["options"] = {stage: dict(options) for stage, options in (base.get("options") or {}).items()}
    for stage, options in changes.items():
        config["options"].setdefault(stage, {}).update(options or {})
    if not directory.exists() and "pretrain" not in changes:
        lend(study, directory)
    path = directory.parent / f"{directory.name}.yaml"  # a name may have a dot
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


def lend(study: Path, directory: Path) -> None:
    """Makes the directory of a small study whose pretrained generator is that of `study`, whole or not at all."""
    record = Path("state", f"{PRETRAINED}.json")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".") as name:
        part = Path(name) / directory.name
        for path in ("cells" / Path(PRETRAINED), record):
            (part / path).parent.mkdir(parents=True)
        os.symlink((study / "cells" / PRETRAINED).resolve(), part / "cells" / PRETRAINED, target_is_directory=True)
        shutil.copy(study / record, part / record)
        shutil.copy(study / "study.json", part / "study.json")
        try:
            part.rename(directory)
        except OSError:  # another process has made it in the meantime
            if not (directory / "study.json").is_file():
                raise


def distilled(directory: Path) -> dict | None:
    """
    What the evaluations of a distillation have measured, before it and after, and the NLL of its own texts by step.
    """
    from ddg_hf.study.matching import MEASURES, TRAINER_STATE, evaluations, finite

    state = directory / "cells" / "distill" / "ema" / "seed_0" / TRAINER_STATE
    if not state.is_file():
        return None
    history = json.loads(state.read_text())["log_history"]
    entries, keep = evaluations(history), ("step", *MEASURES.values())
    ends = {"first": entries[0], "last": entries[-1]} if entries else {}
    own = {entry["step"]: entry["synthetic_nll"] for entry in history if "synthetic_nll" in entry}
    found = {when: {key: finite(entry.get(key)) for key in keep} for when, entry in ends.items()}
    return found | {"synthetic_nll": own}


def measured(directory: Path) -> list[dict]:
    """What the tables of the small study say of its sets."""
    rows = json.loads((directory / "results.json").read_text())["rows"]
    keep = (
        "dpc",
        "num_sets",
        "gradient_cosine",
        "label_consistency",
        "distinct_2",
        "tokens_per_demonstration",
        "copies",
    )
    return [
        {key: row.get(key) for key in keep} | {kind: row["icl"].get(kind) for kind in ("raw", "calibrated")}
        for row in rows
    ]


def in_context(directory: Path) -> dict[int, Path]:
    """
    Evaluations below a directory of a study's `cells/icl/`, by rows per class. Raises `UserError` if they are of
    several methods or seeds.
    """
    found: dict[int, Path] = {}
    for path in sorted(directory.rglob("dpc_*/results.json")):
        dpc = int(path.parent.name.removeprefix("dpc_"))
        if dpc in found:
            raise UserError(f"'{directory}' has several evaluations with {dpc} rows per class; name one of them")
        found[dpc] = path.parent
    return found


def differences(mine: Path, other: Path, name: str) -> list[dict]:
    """One directory of evaluations less another, for all rows per class and both kinds of predictions."""
    from ddg_hf.evaluation.comparison import compare

    found, references = [], in_context(other)
    for dpc, evaluation in sorted(in_context(mine).items()):
        for prediction in ("raw", "calibrated") if dpc in references else ():
            (row,) = compare(str(evaluation), str(references[dpc]), prediction)["rows"]
            found.append({"less": name, "dpc": dpc, "prediction": prediction, **row["difference"]})
    return found


def main(argv: list[str] | None = None) -> int:
    from ddg_hf.configs import DataArguments, RecipeParser, RunArguments
    from ddg_hf.recipes import study
    from ddg_hf.study.config import StudyArguments

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--less", nargs="+", default=[])
    options, others = parser.parse_known_args(argv)
    # A mistake is found before anything is run.
    RecipeParser((DataArguments, StudyArguments, RunArguments)).parse(["--config", str(options.config), *others])
    if not (options.study / "cells" / PRETRAINED / "metadata.json").is_file():
        parser.error(f"'{options.study}' has no {PRETRAINED}; run its study first")
    for name in options.less:
        if name not in options.settings and not in_context(Path(name)):
            parser.error(f"--less: '{name}' is no setting, nor a directory with evaluations in context")
    base, found = yaml.safe_load(options.config.read_text()), []
    for name, changes in options.settings.items():
        directory = options.output_dir / name
        config = prepare(options.study, base, changes, directory)
        with contextlib.redirect_stdout(sys.stderr):
            code = study.main(["--config", str(config), *others])
        if code not in (0, 1):  # a mistake in the command line, which has been named
            return code
        cells = json.loads((directory / "study.json").read_text())["cells"]
        settings = {other: options.output_dir / other / "cells" / "icl" for other in options.settings}
        less = [
            row
            for other in options.less
            if other != name
            for row in differences(directory / "cells" / "icl", settings.get(other, Path(other)), other)
        ]
        found.append(
            {
                "setting": name,
                "changes": changes,
                "distillation": distilled(directory),
                "sets": measured(directory),
                "differences": less,
                "failed": {cell["name"]: cell["error"] for cell in cells if cell["state"] == "failed"},
            }
        )
    print(json.dumps({"command": "python benchmarks/distillation_search.py", "settings": found}, indent=2))
    return int(any(entry["failed"] for entry in found))


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))

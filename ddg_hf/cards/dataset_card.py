# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The dataset card of a directory of distilled sets."""

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import ClassLabel, DatasetInfo, Features, SplitDict, SplitInfo, Value
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData
from huggingface_hub.repocard_data import eval_results_to_model_index

from ..data.tasks import TASKS, TaskSpec
from ..errors import UserError
from ..formats.directory import DistilledDirectory
from ..provenance import published_record
from .card import CARD_FILE, Card, merge_cards, new_card, read_card
from .results import Evaluation, eval_results, results_table
from .text import block, code, escape_markdown, table

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SHOWN_LABELS = 30
# Arguments that the card repeats; all are in metadata.json.
_ARGUMENTS = {
    "generate": ("generator", "dpc", "num_sets", "selection", "over_sample_ratio", "label_filter", "seed"),
    "distill": (
        "generator",
        "learner",
        "student",
        "max_steps",
        "inner_steps",
        "learning_rate",
        "teacher_sets",
        "seed",
    ),
    "convert": ("source",),
    "select": ("demonstrations", "dpc", "num_sets", "candidates_per_class", "learner", "seed"),
    "rerank": ("model", "candidates", "split", "test_number", "seed"),
    "pretrain": ("generator", "generator_config", "max_steps", "learning_rate", "label_prefix", "seed"),
}
_NOT_MEASURED = "Nothing was measured when this card was written (`ddg-hf push --results`)."
_NOT_CHECKED = "No checks were made when this card was written (`ddg-hf check`)."


def distilled_features(spec: TaskSpec) -> Features:
    """Columns of a distilled set: the task's text columns, `label`, `set` and `generator_loss`."""
    return Features(
        {
            **{name: Value("string") for name in spec.text_columns},
            "label": ClassLabel(names=list(spec.label_names)),
            "set": Value("int32"),
            "generator_loss": Value("float32"),
        }
    )


def dataset_card(
    directory: DistilledDirectory,
    evaluations: Sequence[Evaluation] = (),
    checks: str | None = None,
    repo_id: str | None = None,
    license: str | None = None,
    local: Card | None = None,
    published: Card | None = None,
    target: str = "",
    prefer: str | None = None,
) -> Card:
    """
    Returns the card of distilled sets.

    Args:
        directory: The sets.
        evaluations: Results to show.
        checks: Report of the checks, in Markdown.
        repo_id: Where the sets are published.
        license: License of the sets; by default that of the card that is there already, or `unknown`.
        local, published: Cards that are there already, in the directory and on the Hub. What a user wrote in them
            stays; see [`~ddg_hf.cards.card.merge_cards`].
        target: Where the published card is, `user/name@branch`.
        prefer: Whose part to keep where both were edited: `local` or `hub`.

    Raises:
        UserError: both cards were edited, differently.
    """
    new = new_card(_header(directory, evaluations, repo_id), _body(directory, evaluations, checks, repo_id))
    card = merge_cards(new, local, published, target, prefer)
    if license is not None:
        card.header["license"] = license
    return card


# ---- header ----


def _header(directory: DistilledDirectory, evaluations: Sequence[Evaluation], repo_id: str | None) -> dict[str, Any]:
    spec, registered = directory.spec, TASKS.get(directory.spec.name) is directory.spec
    total = sum(len(directory.table(config)) for config in directory.configs)
    name = repo_id.split("/")[-1] if repo_id else f"{spec.name}-distilled"
    header: dict[str, Any] = {
        "pretty_name": f"Distilled demonstrations for {spec.name}",
        # The language of other data is not known.
        "language": ["en"] if registered else None,
        "license": "unknown",
        "task_categories": ["text-classification"],
        "task_ids": [spec.hub_task_id or ("multi-input-text-classification" if len(spec.text_columns) > 1 else None)],
        "size_categories": [next((size for limit, size in _SIZES if total < limit), "1M<n<10M")],
        "annotations_creators": ["machine-generated"] if _is_generated(directory) else None,
        "language_creators": ["machine-generated"] if _is_generated(directory) else None,
        "source_datasets": [spec.hub_id or "extended"],
        "tags": ["ddg_hf", *["synthetic"] * _is_generated(directory), "dataset-distillation", "in-context-learning"],
        "configs": [
            {"config_name": config, "data_files": [{"split": "train", "path": f"{config}/train.parquet"}]}
            for config in directory.configs
        ],
    }
    if header["task_ids"] == [None]:
        header["task_ids"] = ["multi-class-classification"]
    # The first configuration is what `load_dataset` loads where none is named.
    header["configs"][0]["default"] = True
    data = DatasetCardData(**{key: value for key, value in header.items() if value is not None})
    DatasetInfosDict({config: _info(directory, config) for config in directory.configs}).to_dataset_card_data(data)
    header = data.to_dict()
    results = eval_results(evaluations, spec)
    if results:
        header["model-index"] = eval_results_to_model_index(name, results)
    return header


def _info(directory: DistilledDirectory, config: str) -> DatasetInfo:
    rows = directory.table(config)
    file = directory.path / config / "train.parquet"
    split = SplitInfo(name="train", num_bytes=rows.nbytes, num_examples=len(rows))
    return DatasetInfo(
        features=Features.from_arrow_schema(pq.read_schema(file)),
        splits=SplitDict({"train": split}),
        download_size=file.stat().st_size,
        dataset_size=rows.nbytes,
    )


# ---- body ----

_GENERATED = {
    "introduction": """\
Synthetic texts with labels ({description}), written by a generator that was trained on the training split of
{task}.""",
    "limitations": """\
The texts are machine-written, and the generator was trained on the training split: they can repeat phrases of it, and
a text need not have the label that it was asked for. They inherit the biases of the data and of the generator. Measure
before use.""",
}
_SELECTED = {
    "introduction": "Rows of the training split of {task} ({description}), chosen as demonstrations.",
    "limitations": """\
The texts and labels are those of the data set, with its license, its biases and its errors. Measure before use.""",
}
_UNKNOWN = {
    "introduction": "Texts with labels ({description}), converted from files that were made elsewhere.",
    "limitations": "How the texts were made is not known here. Measure before use.",
}


def _made_by(directory: DistilledDirectory) -> str | None:
    """The stage that wrote the texts. `rerank` has chosen among the sets of another one."""
    run = directory.metadata
    while isinstance(run, dict) and run.get("stage") == "rerank":
        run = run.get("generator_run")
    return run.get("stage") if isinstance(run, dict) else None


def _is_generated(directory: DistilledDirectory) -> bool:
    return _made_by(directory) == "generate"


def _body(
    directory: DistilledDirectory, evaluations: Sequence[Evaluation], checks: str | None, repo_id: str | None
) -> str:
    template = resources.files("ddg_hf").joinpath("templates/dataset_card.md").read_text(encoding="utf-8")
    task = escape_markdown(directory.spec.name)
    origin = {"generate": _GENERATED, "select": _SELECTED}.get(_made_by(directory), _UNKNOWN)
    body = template.format(
        task=task,
        introduction=origin["introduction"].format(task=task, description=directory.spec.description),
        limitations=origin["limitations"],
        sets=block("sets", _sets(directory, repo_id)),
        provenance=block("provenance", _provenance(published_record(directory.metadata))),
        results=block("results", _results(evaluations)),
        checks=block("checks", checks or _NOT_CHECKED),
    )
    return body


def _sets(directory: DistilledDirectory, repo_id: str | None) -> str:
    spec, first = directory.spec, directory.configs[0]
    labels = [code(name) for name in spec.label_names[:_SHOWN_LABELS]]
    more = f" and {spec.num_labels - _SHOWN_LABELS} more" if spec.num_labels > _SHOWN_LABELS else ""
    columns = ", ".join(code(name) for name in spec.text_columns)
    source = repo_id or "path/or/user/name"
    return f"""\
{spec.num_labels} labels: {", ".join(labels)}{more}.

{_configurations(directory)}

### How to load

```python
from datasets import load_dataset

sets = load_dataset("{source}", "{first}", split="train")
first = sets.filter(lambda row: row["set"] == 0)
```

Columns: {columns}; `label` (class label with names); `set`, the number of the set (each from another sampling seed);
`generator_loss`, the mean negative log-likelihood of the text under the generator, nats per token (null: unknown)."""


def _configurations(directory: DistilledDirectory) -> str:
    rows = []
    for config in directory.configs:
        sets = directory.sets(config)
        counts = Counter((number, row.label) for number, members in sets.items() for row in members)
        per_class = [counts[number, label] for number in sets for label in range(directory.spec.num_labels)]
        span = str(min(per_class)) if min(per_class) == max(per_class) else f"{min(per_class)} to {max(per_class)}"
        rows.append([code(config), len(sets), sum(map(len, sets.values())), span])
    return table(["configuration", "sets", "rows", "rows per label and set"], rows)


def _provenance(metadata: dict[str, Any]) -> str:
    version, commit, created = (metadata.get(key) for key in ("ddg_hf_version", "ddg_hf_commit", "created"))
    if version is None:
        return "How they were made is not recorded."
    by = f"With `ddg_hf` {escape_markdown(str(version))}"
    by += f", commit {code(str(commit)[:12])}" if commit else ""
    by += f", {escape_markdown(str(created)[:10])}" if created else ""
    lines = [f"{by}. The stages, in order:", ""]
    lines += [f"- {code(stage)}: {_arguments(stage, arguments)}" for stage, arguments in _stages(metadata)]
    sampling = {key.replace("_", " "): value for key, value in _mapping(metadata, "sampling").items()}
    measured = [f"{escape_markdown(key)} {code(value)}" for key, value in sampling.items()]
    if measured:
        lines += ["", f"Sampling: {', '.join(measured)}."]
    versions = [f"{name} {version}" for name, version in _mapping(metadata, "versions").items()]
    if versions:
        lines += ["", f"Versions: {code(', '.join(versions))}."]
    return "\n".join([*lines, "", "All arguments and the fingerprints of the data are in `metadata.json`."])


def _mapping(record: dict[str, Any], key: str) -> dict[str, Any]:
    """A part of a record that somebody else may have written: anything but a mapping counts as absent."""
    value = record.get(key)
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def _stages(metadata: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The stages that led to the sets, the first one first, each with its arguments."""
    found, run = [], metadata
    while isinstance(run, dict):
        found.append((str(run.get("stage", "generate")), _mapping(run, "arguments")))
        run = run.get("generator_run")
    return found[::-1]


def _arguments(stage: str, arguments: dict[str, Any]) -> str:
    shown = {name: arguments.get(name) for name in _ARGUMENTS.get(stage, ())}
    words = [f"{name} {code(value)}" for name, value in shown.items() if value is not None]
    return ", ".join(words) or "arguments are in `metadata.json`"


def _results(evaluations: Sequence[Evaluation]) -> str:
    if not evaluations:
        return _NOT_MEASURED
    return (
        f"Accuracy in %, with 95 % intervals over sets and queries:\n\n{results_table(evaluations)}\n\n"
        "Details are in `results/`."
    )


def read_local_card(directory: Path) -> Card | None:
    """Returns the card of a directory, or `None`. Raises `UserError` if it cannot be read, or is a link."""
    path = directory / CARD_FILE
    if path.is_symlink():
        raise UserError(f"'{path}' is a symbolic link, which is not followed; copy what it points to")
    if not path.is_file():
        return None
    try:
        return read_card(path.read_bytes(), f"in '{directory}'")
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from error

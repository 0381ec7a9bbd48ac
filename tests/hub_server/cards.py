# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the test Hub demands of the YAML metadata in a README.md, in the words of the Hub where they are known."""

from __future__ import annotations

import re

import yaml

from tests.hub_server.http import HubError, Request, Response

METADATA = re.compile(r"^\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", re.DOTALL)
LICENSES = (
    "apache-2.0 mit bsd-2-clause bsd-3-clause cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-4.0 "
    "cc-by-nc-sa-4.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 odbl odc-by pddl openrail gemma llama3.1 unlicense other "
    "unknown"
).split()
SIZES = "n<1K 1K<n<10K 10K<n<100K 100K<n<1M 1M<n<10M 10M<n<100M 100M<n<1B 1B<n<10B 10B<n<100B 100B<n<1T n>1T".split()
TASK_CATEGORIES = (
    "text-classification token-classification question-answering text-generation text-ranking summarization "
    "sentence-similarity feature-extraction zero-shot-classification translation fill-mask other"
).split()
SPECIAL_LANGUAGES = ("code", "multilingual")


class _Loader(yaml.SafeLoader):
    """Refuses a key that occurs twice, as the Hub's parser does."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"duplicated mapping key: {key}", node.start_mark)
        return super().construct_mapping(node, deep)


def metadata(content: str) -> dict | None:
    """Returns the metadata of a card, None if it has none; raises `ValueError` if they are not a YAML mapping."""
    match = METADATA.match(content)
    if match is None:
        return None
    try:
        data = yaml.load(match[1], Loader=_Loader)
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise ValueError(f"invalid YAML metadata: {error}") from error
    if data is not None and not isinstance(data, dict):
        raise ValueError("YAML metadata must be a mapping")
    return data


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def language_errors(data: dict) -> list[str]:
    errors = []
    for index, code in enumerate(as_list(data.get("language", []))):
        if not isinstance(code, str):
            errors.append(f'"language[{index}]" must be a string')
        elif code != code.lower():
            errors.append(f'"language[{index}]" must only contain lowercase characters')
        elif not re.fullmatch("[a-z]{2,3}", code) and code not in SPECIAL_LANGUAGES:
            errors.append(
                f'"language[{index}]" with value "{code}" is not valid. It must be an ISO 639-1, 639-2 or 639-3 code '
                'or a special value like "code", "multilingual".'
            )
    return errors


def config_errors(data: dict) -> list[str]:
    """`configs` are mappings with a unique name and data files, each with a split and a path."""
    if "configs" not in data:
        return []
    if not isinstance(data["configs"], list):
        return ['"configs" must be an array']
    errors, names = [], set()
    for index, config in enumerate(data["configs"]):
        where = f'"configs[{index}]'
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            errors.append(f'{where}.config_name" is required')
            continue
        if config["config_name"] in names:
            errors.append(f'{where}.config_name" must be unique, "{config["config_name"]}" occurs twice')
        names.add(config["config_name"])
        files = config.get("data_files", [])
        for position, file in enumerate(files if isinstance(files, list) else []):
            if isinstance(file, dict) and not ("path" in file and isinstance(file.get("split", ""), str)):
                errors.append(f'{where}.data_files[{position}]" must have a split and a path')
    return errors


def dataset_info_errors(data: dict) -> list[str]:
    errors = []
    for index, info in enumerate(as_list(data.get("dataset_info", []))):
        where = f'"dataset_info[{index}]'
        if not isinstance(info, dict):
            errors.append(f'{where}" must be an object')
            continue
        for kind in ("features", "splits"):
            items = info.get(kind, [])
            if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
                errors.append(f'{where}.{kind}" must be an array of objects with a name')
    return errors


def model_index_errors(data: dict) -> list[str]:
    """The structured evaluation results: every result has a task, a dataset and metrics, each with a type."""
    if "model-index" not in data:
        return []
    if not isinstance(data["model-index"], list):
        return ['"model-index" must be an array']
    errors = []
    for index, model in enumerate(data["model-index"]):
        where = f"model-index[{index}]"
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append(f'"{where}.name" is required')
            continue
        if not isinstance(model.get("results"), list):
            errors.append(f'"{where}.results" must be an array')
            continue
        for number, result in enumerate(model["results"]):
            at = f"{where}.results[{number}]"
            if not isinstance(result, dict):
                errors.append(f'"{at}" must be an object')
                continue
            for path in ("task.type", "dataset.type", "dataset.name"):
                outer, inner = path.split(".")
                if not isinstance(result.get(outer), dict) or not result[outer].get(inner):
                    errors.append(f'"{at}.{path}" is required')
            metrics = result.get("metrics")
            if not isinstance(metrics, list) or not metrics:
                errors.append(f'"{at}.metrics" must be a non-empty array')
                continue
            for position, metric in enumerate(metrics):
                if not isinstance(metric, dict) or "type" not in metric or "value" not in metric:
                    errors.append(f'"{at}.metrics[{position}]" must have a type and a value')
    return errors


def list_errors(data: dict) -> list[str]:
    errors = []
    for key in ("tags", "task_ids", "source_datasets", "annotations_creators", "language_creators", "multilinguality"):
        if key in data and not all(isinstance(value, str) for value in as_list(data[key])):
            errors.append(f'"{key}" must be an array of strings')
    for key in ("base_model", "datasets"):
        values = as_list(data.get(key, []))
        if not all(isinstance(value, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", value) for value in values):
            errors.append(f'"{key}" must be an identifier of a repository on the Hub')
    return errors


def validate(content: str, repo_type: str = "model") -> tuple[list[str], list[str]]:
    """Returns the errors and the warnings for a README.md."""
    try:
        data = metadata(content)
    except ValueError as error:
        return [str(error)], []
    if not data:
        return [], ["empty or missing yaml metadata in repo card"]
    errors, warnings = [], []
    for value in as_list(data.get("license", [])):
        if value not in LICENSES:
            errors.append(f'"license" must be one of [{", ".join(LICENSES)}]')
    for index, value in enumerate(as_list(data.get("size_categories", []))):
        if value not in SIZES:
            errors.append(f'"size_categories[{index}]" must be one of [{", ".join(SIZES)}]')
    for value in as_list(data.get("task_categories", [])):
        if value not in TASK_CATEGORIES:
            warnings.append(f'The task_categories "{value}" is not in the official list')
    errors += language_errors(data) + list_errors(data) + model_index_errors(data)
    if repo_type == "dataset":
        errors += config_errors(data) + dataset_info_errors(data)
    return errors, warnings


def check(content: str, repo_type: str) -> None:
    """Raises the answer of the Hub to a commit of a README.md with invalid metadata."""
    errors, _ = validate(content, repo_type)
    if errors:
        raise HubError(400, "Invalid metadata in README.md: " + "; ".join(errors))


def validate_yaml(request: Request) -> Response:
    """`POST /api/validate-yaml`; errors as plain text for those who accept that only."""
    body = request.json()
    errors, warnings = validate(body["content"], body.get("repoType") or "model")
    if errors and request.headers.get("accept") == "text/plain":
        return Response(400, {"Content-Type": "text/plain; charset=utf-8"}, "\n".join(errors).encode())
    answer = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return Response.json(answer, 400 if errors else 200)

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What an in-context evaluation has finished so far, so that one that was stopped can go on."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.evaluator import ICLPrediction
from ddg_hf.evaluation.results import write_parquet

PARTIAL_DIR = ".partial"

_FACTS = b"ddg_hf"
_SCHEMA = pa.schema(
    [
        ("prediction", pa.int64()),
        ("logprobs", pa.list_(pa.float64())),
        ("answer", pa.string()),
        ("failed", pa.bool_()),
    ]
)


def fingerprint(content: Any) -> str:
    """SHA-256 of `content` as JSON with sorted keys, 64 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def version_of(model: str, revision: str = "main") -> list[tuple[str, int, int]] | str | None:
    """
    What a model is: of a directory the name, size and time of change of every file, of a Hub id the commit that its
    revision is at now. `None` if there is no such model; loading it says why.
    """
    if not os.path.isdir(model):
        from transformers.utils.hub import cached_file, extract_commit_hash

        try:
            return extract_commit_hash(cached_file(model, "config.json", revision=revision), None)
        except OSError:
            return None
    files = sorted(file for file in Path(model).rglob("*") if file.is_file())
    return [(str(file.relative_to(model)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


class PartialRuns:
    """
    Finished jobs of one evaluation, a file for each, in `<output_dir>/.partial/<fingerprint>`.

    Args:
        output_dir: Where the results will go.
        fingerprint: Of all that the results depend on; what another evaluation left behind is not found.

    Attributes:
        directory: Where the files are.
    """

    def __init__(self, output_dir: Path, fingerprint: str):
        self.directory = output_dir / PARTIAL_DIR / fingerprint[:16]

    def has(self, job: str) -> bool:
        """Whether this job is finished."""
        return self._path(job).is_file()

    def save(self, job: str, prediction: ICLPrediction) -> None:
        """Keeps a finished job under its name, whole or not at all. One with failures is not finished."""
        if prediction.failed_Q.any() or prediction.failures:
            return
        size = len(prediction.predictions_Q)
        logprobs = prediction.logprobs_QK
        columns = {
            "prediction": np.asarray(prediction.predictions_Q),
            "logprobs": None if logprobs is None else np.asarray(logprobs, np.float64).tolist(),
            "answer": prediction.answers,
            "failed": prediction.failed_Q,
        }
        arrays = [
            pa.nulls(size, field.type) if columns[field.name] is None else pa.array(columns[field.name], field.type)
            for field in _SCHEMA
        ]
        facts = {
            "scored": logprobs is not None,
            "label_tokens": _to_list(prediction.label_tokens_K),
            "contextual_logprobs": _to_list(prediction.contextual_logprobs_K),
            "generated": prediction.answers is not None,
            "num_unparsable": prediction.num_unparsable,
            "num_ties": prediction.num_ties,
            "seconds": prediction.seconds,
            "prefix_tokens": prediction.prefix_tokens,
            "rounds": prediction.rounds,
            "dropped_rounds": prediction.dropped_rounds,
        }
        schema = _SCHEMA.with_metadata({_FACTS: json.dumps(facts).encode()})
        write_parquet(self._path(job), pa.Table.from_arrays(arrays, schema=schema))

    def load(self, job: str) -> ICLPrediction | None:
        """
        Returns the prediction that was saved under this name, or `None`.

        Raises:
            UserError: the file is damaged.
        """
        path = self._path(job)
        if not self.has(job):
            return None
        try:
            table = pq.read_table(path)
            facts = json.loads(table.schema.metadata[_FACTS])
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise UserError(f"'{path}' is damaged; delete it and start again: {error}") from error
        return ICLPrediction(
            predictions_Q=table["prediction"].to_numpy(),
            logprobs_QK=np.array(table["logprobs"].to_pylist()) if facts["scored"] else None,
            label_tokens_K=_to_array(facts["label_tokens"]),
            contextual_logprobs_K=_to_array(facts["contextual_logprobs"]),
            answers=table["answer"].to_pylist() if facts["generated"] else None,
            num_unparsable=facts["num_unparsable"],
            num_ties=facts["num_ties"],
            failed_Q=table["failed"].to_numpy(zero_copy_only=False),
            seconds=facts["seconds"],
            prefix_tokens=facts["prefix_tokens"],
            rounds=facts["rounds"],
            dropped_rounds=facts["dropped_rounds"],
        )

    def remove_others(self) -> None:
        """Removes what other evaluations left behind."""
        if self.directory.parent.is_dir():
            for path in self.directory.parent.iterdir():
                if path != self.directory:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        """Removes everything: the results are written."""
        shutil.rmtree(self.directory.parent, ignore_errors=True)

    def _path(self, job: str) -> Path:
        return self.directory / f"{job}.parquet"


def _to_list(array: np.ndarray | None) -> list | None:
    return None if array is None else np.asarray(array).tolist()


def _to_array(values: list | None) -> np.ndarray | None:
    return None if values is None else np.array(values)

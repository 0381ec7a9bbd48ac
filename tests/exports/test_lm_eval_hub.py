# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A task whose queries lm-evaluation-harness reads from the Hub."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import close_session

from ddg_hf.data.tasks import TASKS
from ddg_hf.exports.lm_eval import hub_queries, lm_eval_task
from ddg_hf.exports.yaml_text import dump_yaml
from tests.hub_server.clients import Hub

from .helpers import HOSTILE, MULTILINE, rows_of, template_of

REPO = "user/reviews"


@pytest.fixture
def hub(tmp_path_factory, monkeypatch):
    with Hub(tmp_path_factory.mktemp("hf_home")) as server:
        server.redirect_clients(monkeypatch)
        yield server
        close_session()


@pytest.mark.slow
def test_the_harness_reads_the_pinned_revision(hub, tmp_path):
    tasks = pytest.importorskip("lm_eval.tasks", reason="loads the task with lm-evaluation-harness")
    queries = rows_of(TASKS["sst2"], HOSTILE + MULTILINE)
    table = pa.table({"sentence": [text for (text,), _ in queries], "label": [label for _, label in queries]})
    pq.write_table(table, tmp_path / "validation.parquet")
    HfApi().create_repo(REPO, repo_type="dataset")
    pinned = hub.put(REPO, "validation.parquet", (tmp_path / "validation.parquet").read_bytes())
    hub.put(REPO, "validation.parquet", b"newer, and broken")

    spec = dataclasses.replace(TASKS["sst2"], hub_id=REPO, hub_revision=pinned)
    rows, template = rows_of(spec), template_of(spec)
    task = lm_eval_task("reviews", spec, template, rows, hub_queries(spec, "validation"))
    (tmp_path / "reviews.yaml").write_text(dump_yaml(task), encoding="utf-8")
    loaded = tasks.TaskManager(include_path=str(tmp_path), include_defaults=False).load(["reviews"])["tasks"][
        "reviews"
    ]
    shown = [
        (loaded.fewshot_context(doc, loaded.config.num_fewshot), loaded.doc_to_target(doc)) for doc in loaded.eval_docs
    ]
    assert shown == [(template.prefix(rows) + template.query(texts), label) for texts, label in queries]

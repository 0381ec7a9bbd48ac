# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""CSV, loaded by csv, datasets and SetFit."""

import csv
import dataclasses
import io

import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.errors import UserError
from ddg_hf.exports.tables import csv_text, setfit_text
from ddg_hf.generation import DistilledRow

from .helpers import HOSTILE, MULTILINE, PAIR, SINGLE, SPECS, TEXTS, rows_of


def distilled(spec, texts=HOSTILE + MULTILINE) -> list[DistilledRow]:
    return [DistilledRow(row, label, i // 4, 1.0) for i, (row, label) in enumerate(rows_of(spec, texts))]


def read(text: str, path):
    path.write_bytes(text.encode())
    # "NA" and "null" are texts
    return load_dataset("csv", data_files=str(path), split="train", keep_default_na=False, cache_dir=str(path.parent))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_datasets_reads_the_rows(spec, tmp_path):
    rows = distilled(spec)
    loaded = read(csv_text(spec, rows), tmp_path / "rows.csv")
    assert loaded.column_names == [*spec.text_columns, "label", "label_text", "set"]
    for i, name in enumerate(spec.text_columns):
        assert list(loaded[name]) == [row.texts[i] for row in rows]
    assert list(loaded["label"]) == [row.label for row in rows]
    assert list(loaded["label_text"]) == [spec.label_names[row.label] for row in rows]
    assert list(loaded["set"]) == [row.set for row in rows]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_any_text_survives(texts):
    text = csv_text(SINGLE, distilled(SINGLE, texts))
    assert [row["sentence"] for row in csv.DictReader(io.StringIO(text, newline=""))] == texts


def test_setfit_trains_on_the_rows(tmp_path, make_bert, encoder_tokenizer):
    setfit = pytest.importorskip("setfit", reason="trains on the CSV with SetFit")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from sklearn.linear_model import LogisticRegression

    rows = distilled(PAIR)
    loaded = read(setfit_text(PAIR, rows), tmp_path / "rows.csv")
    assert loaded.column_names == ["text", "label", "label_text"]
    assert list(loaded["text"]) == ["\n".join(row.texts) for row in rows]
    few = setfit.sample_dataset(loaded, num_samples=2)
    assert sorted(few["label"]) == [0, 0, 1, 1]

    folder = tmp_path / "encoder"
    make_bert(len(encoder_tokenizer)).save_pretrained(folder)
    encoder_tokenizer.save_pretrained(folder)
    body = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(32)], device="cpu")
    model = setfit.SetFitModel(model_body=body, model_head=LogisticRegression())
    quick = {"max_steps": 1, "batch_size": 2, "report_to": "none"}
    arguments = setfit.TrainingArguments(output_dir=str(tmp_path / "run"), **quick)
    setfit.Trainer(model=model, args=arguments, train_dataset=few).train()
    assert set(model.predict(few["text"]).tolist()) <= {0, 1}


def test_a_text_column_with_the_name_of_an_exported_one():
    with pytest.raises(UserError, match="label_text"):
        csv_text(dataclasses.replace(SINGLE, text_columns=("label_text",)), [])

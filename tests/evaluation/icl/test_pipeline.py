# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`pipeline("icl-classification")`: the evaluator's probabilities, batched, with the prefix read once."""

import dataclasses
import json

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from ddg_hf import ICLClassificationPipeline
from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import describe_distilled
from ddg_hf.evaluation.icl import ICLEvaluator, PromptTemplate, TransformersBackend, batch_calibrate, log_normalize
from ddg_hf.formats.distilled import distilled_table
from ddg_hf.generation import DistilledRow
from tests.evaluation.icl.helpers import DEMONSTRATIONS, make_model
from tests.tiny_models import SENTENCES

SPEC = get_task("sst2")
TEXTS = list(SENTENCES[4:])


def write_sets(directory, spec=SPEC, task="sst2"):
    rows = [
        DistilledRow((f"{SENTENCES[i]} {number}",) * len(spec.text_columns), label, number, 1.0)
        for number in (3, 4)
        for i in range(2)
        for label in range(spec.num_labels)
    ]
    (directory / "dpc_2").mkdir(parents=True)
    pq.write_table(distilled_table(rows, spec), directory / "dpc_2" / "train.parquet")
    (directory / "metadata.json").write_text(json.dumps({"task": task}))
    return str(directory)


@pytest.fixture
def classify(tiny_tokenizer):
    return pipeline(
        "icl-classification",
        model=make_model("gemma3", tiny_tokenizer),
        tokenizer=tiny_tokenizer,
        demonstrations=DEMONSTRATIONS,
        spec=SPEC,
    )


def expected(tiny_tokenizer, demonstrations=DEMONSTRATIONS, texts=TEXTS, spec=SPEC):
    backend = TransformersBackend(make_model("gemma3", tiny_tokenizer), tiny_tokenizer)
    evaluator = ICLEvaluator(backend, PromptTemplate.from_task(spec))
    return np.exp(log_normalize(evaluator.evaluate(demonstrations, [(text,) for text in texts]).logprobs_QK))


def probabilities(outputs, spec=SPEC):
    return np.array(
        [[{e["label"]: e["score"] for e in output}[name] for name in spec.label_names] for output in outputs]
    )


def test_probabilities_are_the_evaluators(classify, tiny_tokenizer):
    assert isinstance(classify, ICLClassificationPipeline)
    expected_QK = expected(tiny_tokenizer)
    output = classify(TEXTS[0])
    assert [set(entry) for entry in output] == [{"label", "score"}] * 2
    assert output[0]["score"] >= output[1]["score"]
    np.testing.assert_allclose(probabilities([output])[0], expected_QK[0], atol=1e-5)
    for batch_size in (1, 3, 64):
        np.testing.assert_allclose(probabilities(classify(TEXTS, batch_size=batch_size)), expected_QK, atol=1e-5)


def test_datasets_and_generators(classify, tiny_tokenizer):
    expected_QK = expected(tiny_tokenizer)
    rows = datasets.Dataset.from_dict({"sentence": TEXTS})
    np.testing.assert_allclose(
        probabilities(classify(KeyDataset(rows, "sentence"), batch_size=4)), expected_QK, atol=1e-5
    )
    np.testing.assert_allclose(probabilities(classify({"sentence": t} for t in TEXTS)), expected_QK, atol=1e-5)


def test_top_k(classify):
    assert [len(output) for output in classify(TEXTS[:2], top_k=1)] == [1, 1]
    assert classify(TEXTS[0], top_k=1) == classify(TEXTS[0])[:1]


def test_demonstrations_are_read_once(classify, tiny_tokenizer):
    read = []
    hook = classify.model.model.embed_tokens.register_forward_hook(lambda m, args, out: read.append(args[0].numel()))
    classify(TEXTS[0])
    classify(TEXTS[1:3])
    hook.remove()
    longest = max(
        len(tiny_tokenizer(PromptTemplate.from_task(SPEC).query((text,)))["input_ids"]) for text in TEXTS[:3]
    )
    assert read and max(read) <= 2 * longest


def test_distilled_sets(tiny_tokenizer, tmp_path):
    source = write_sets(tmp_path / "sets")
    model = make_model("gemma3", tiny_tokenizer)
    classify = pipeline("icl-classification", model=model, tokenizer=tiny_tokenizer, demonstrations=source, set_id=4)
    assert classify.spec is SPEC
    assert len(classify.demonstrations) == 4 and all(texts[0].endswith("4") for texts, _ in classify.demonstrations)
    np.testing.assert_allclose(
        probabilities(classify(TEXTS)), expected(tiny_tokenizer, classify.demonstrations), atol=1e-5
    )
    with pytest.raises(UserError, match=r"no set 9 for dpc 2; there are \[3, 4\]"):
        pipeline("icl-classification", model=model, tokenizer=tiny_tokenizer, demonstrations=source, set_id=9)


def test_sets_of_an_unknown_task_describe_themselves(tiny_tokenizer, tmp_path):
    spec = dataclasses.replace(get_task("mnli"), name="mine", text_columns=("question", "answer"))
    found = describe_distilled(write_sets(tmp_path / "mine", spec, task="mine"))
    assert (found.text_columns, found.label_names) == (("question", "answer"), spec.label_names)
    model = make_model("llama", tiny_tokenizer)
    classify = pipeline(
        "icl-classification", model=model, tokenizer=tiny_tokenizer, demonstrations=str(tmp_path / "mine")
    )
    outputs = classify([("why?", "because"), {"question": "why?", "answer": "because"}])
    np.testing.assert_allclose(probabilities(outputs[:1], spec), probabilities(outputs[1:], spec), atol=1e-6)
    with pytest.raises(UserError, match="no 'answer'"):
        classify({"question": "why?"})
    with pytest.raises(UserError, match="1 texts, but the columns of the task are question, answer"):
        classify("why?")


def test_contextual_calibration(tiny_tokenizer, classify):
    calibrated = pipeline(
        "icl-classification",
        model=classify.model,
        tokenizer=tiny_tokenizer,
        demonstrations=DEMONSTRATIONS,
        spec=SPEC,
        calibration="contextual",
    )
    raw_QK, calibrated_QK = probabilities(classify(TEXTS)), probabilities(calibrated(TEXTS))
    # The same correction for all queries, which is not that of batch calibration.
    shift_QK = np.log(calibrated_QK[:, 0] / calibrated_QK[:, 1]) - np.log(raw_QK[:, 0] / raw_QK[:, 1])
    assert np.ptp(shift_QK) < 1e-5 and abs(shift_QK[0]) > 1e-3
    assert np.abs(np.exp(batch_calibrate(np.log(raw_QK))) - calibrated_QK).max() > 1e-4


def test_bad_arguments(tiny_tokenizer):
    model = make_model("llama", tiny_tokenizer)
    with pytest.raises(UserError, match="need the task too"):
        pipeline("icl-classification", model=model, tokenizer=tiny_tokenizer, demonstrations=DEMONSTRATIONS)
    with pytest.raises(UserError, match="unknown calibration 'best'"):
        ICLClassificationPipeline(model, tiny_tokenizer, DEMONSTRATIONS, SPEC, calibration="best")
    with pytest.raises(UserError, match="unknown parameter batchsize"):
        ICLClassificationPipeline(model, tiny_tokenizer, DEMONSTRATIONS, SPEC, batchsize=3)

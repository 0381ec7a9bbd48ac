# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
In-context evaluation against the plain way, and against lm-evaluation-harness.

    python benchmarks/icl.py --data_dir data > docs/results/icl.json

Gemma 3 270M (`ddg-hf models`), float32 unless `--dtype` says otherwise, balanced demonstrations of the training rows,
queries of the validation split. The sides take turns in one process:

- plain: one query at a time, the whole prompt, `generate` of 10 tokens;
- ours: [`~ddg_hf.evaluation.icl.ICLEvaluator`] on `--queries` queries at once, the prefix read anew each time;
- lm_eval: lm-evaluation-harness' `hf` model on the same prompts and labels (`pip install lm_eval==0.4.13`; without it
  leave the part out with `--parts cases limit bfloat16 memory`).

`ratios.<task>_r<rounds>_<scoring>` are seconds a query, plain over ours, of medians. `predictions_equal` says whether
our predictions are those of the same scoring without a cache: of `--checked` queries, of one where there are many
labels (and then its two best labels only), and with `generate` of those that the plain side has answered.
Likelihood of many labels is timed on `--many_labels_queries` of the queries.
`fraction_of_limit`: 2 x parameters outside the embeddings x tokens of queries and labels without padding, over the
rate of matrix products of the model's shapes measured in the same run, over the time of SST-2's likelihood with
5 rounds, prefix left out. `highest_ratios`: what the ratio of likelihood would be if nothing took time but the matrix
products of the layers for these tokens and of the output layer for the positions that need a normaliser.
`ratios_without_output_layer`: the ratio of likelihood with the seconds that the output layer and its softmax took left
out of our side: what is left to win there.
`bfloat16`: SST-2 with 5 rounds in bfloat16, our predictions against those without a cache: how many differ, and the
greatest margin, in nats, of those that do.
`memory_ratio_16k`: peak memory of a process that answers 500 queries behind 16,384 tokens over that of one that only
reads these. Prints one JSON object.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from report import print_result

from ddg_hf.configs import ICLModelArguments
from ddg_hf.data.loading import load_data
from ddg_hf.evaluation.demonstrations import balanced_sample, select_sets, to_demonstrations
from ddg_hf.evaluation.icl import ICLEvaluator, Prompts, PromptTemplate, TransformersBackend
from ddg_hf.evaluation.icl.encoding import encode, encode_prompts
from ddg_hf.evaluation.icl.label_trie import LabelTrie
from ddg_hf.evaluation.icl.next_tokens import NextTokens
from ddg_hf.evaluation.icl.reading import prefill
from ddg_hf.evaluation.icl.scoring import score_prompts
from ddg_hf.models.loading import load_causal_lm
from ddg_hf.models.offline import offline_model_path

NEW_TOKENS = 10
# task, rounds, scorings
CASES = {
    "sst2_r5": ("sst2", 5, ("likelihood", "generate")),
    "sst2_r20": ("sst2", 20, ("likelihood", "generate")),
    "banking77_r1": ("banking77", 1, ("likelihood", "argmax")),
    "banking77_r5": ("banking77", 5, ("argmax",)),
}


class Case:
    """A task with its demonstrations and queries, as texts."""

    def __init__(self, options, name: str, task: str, rounds: int):
        self.name = name
        spec, data = load_data(task=task, data_dir=options.data_dir)
        train = to_demonstrations(data["train"], spec)
        (members,) = select_sets(spec, train, None, "balanced", [rounds], 1, 0)[rounds]
        self.demonstrations = members.in_order(rounds, spec.num_labels, 0)
        split = data["validation"]
        chosen = balanced_sample(split["label"], options.queries, 0, spec.num_labels)
        self.queries = [texts for texts, _ in to_demonstrations(split.select(chosen), spec)]
        self.template = PromptTemplate.from_task(spec)
        self.prompts = self.template.prompts(self.demonstrations, self.queries)
        # Neighbours have the same label.
        self.some = np.random.default_rng(0).permutation(len(self.queries)).tolist()
        self.many_labels = spec.num_labels > 20
        self.few = self.some[: options.many_labels_queries if self.many_labels else None]

    def asked(self, scoring: str) -> list[int]:
        """The queries that this scoring is timed on."""
        return self.few if scoring == "likelihood" else self.some

    def prompt(self, query: int) -> str:
        return self.prompts.prefix + self.prompts.queries[query]


@torch.inference_mode()
def plain_answer(model, tokenizer, prompt: str) -> str:
    """One query, the whole prompt, `generate`."""
    (ids,) = encode(tokenizer, [prompt])
    ids_1T = torch.tensor(ids)[None]
    output = model.generate(ids_1T, attention_mask=torch.ones_like(ids_1T), max_new_tokens=NEW_TOKENS, do_sample=False)
    return tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True).split("\n", 1)[0].strip()


@torch.inference_mode()
def plain_label(model, tokenizer, case: Case, query: int, labels) -> tuple[int, list[float]]:
    """The most likely of some labels, each behind the whole prompt, without a cache; and their log-probabilities."""
    prompts = case.prompts
    encoded = encode_prompts(tokenizer, "", [case.prompt(query)], prompts.continuations, prompts.terminator)
    prompt, scores = encoded.prefix + encoded.queries[0], []
    for tokens in (encoded.labels[label] for label in labels):
        ids = torch.tensor([prompt + tokens])
        logits = model(ids, use_cache=False, logits_to_keep=len(tokens) + 1).logits[0, :-1]
        scores.append(logits.float().log_softmax(-1)[range(len(tokens)), tokens].sum().item())
    return int(labels[int(np.argmax(scores))]), scores


def compare(options, backend, case: Case, scorings) -> dict:
    """Seconds a query of both sides, in turn, and whether the predictions agree with those without a cache."""
    model, tokenizer = backend.model, backend.tokenizer
    seconds: dict[str, list[float]] = {"plain": [], **{scoring: [] for scoring in scorings}}
    answers: dict[int, str] = {}
    output_layer: list[float] = []
    found: dict[str, dict[int, int]] = {}
    for repeat in range(options.repeats):
        query = case.some[repeat]
        start = time.perf_counter()
        answers[query] = plain_answer(model, tokenizer, case.prompt(query))
        seconds["plain"].append(time.perf_counter() - start)
        for scoring in scorings:
            asked = case.asked(scoring)
            with timed_output_layer() as spent:
                result = predict(backend, case, asked, scoring)
            if scoring == "likelihood":
                output_layer.append(spent[0] / len(asked))
            found[scoring] = dict(zip(asked, result.predictions_Q.tolist(), strict=True))
            seconds[scoring].append(result.seconds / len(asked))
        print(case.name, {key: round(values[-1], 4) for key, values in seconds.items()}, file=sys.stderr, flush=True)
    return {
        "prompt_tokens": len(encode(tokenizer, [case.prompt(0)])[0]),
        "queries": {scoring: len(case.asked(scoring)) for scoring in scorings},
        "seconds_per_query": {key: statistics.median(values) for key, values in seconds.items()},
        "seconds_in_output_layer": statistics.median(output_layer) if output_layer else None,
        "equal": check(options, backend, case, found, answers),
    }


def predict(backend, case: Case, queries: list[int], scoring: str = "likelihood"):
    evaluator = ICLEvaluator(backend, case.template, scoring)
    return evaluator.evaluate(case.demonstrations, [case.queries[query] for query in queries])


@contextlib.contextmanager
def timed_output_layer():
    """Within it, the seconds spent in the output layer and its softmax are added to what it yields."""
    spent, plain = [0.0], NextTokens.logprobs

    def timed(self, *args):
        start = time.perf_counter()
        try:
            return plain(self, *args)
        finally:
            spent[0] += time.perf_counter() - start

    with mock.patch.object(NextTokens, "logprobs", timed):
        yield spent


def check(options, backend, case: Case, found: dict, answers: dict[int, str]) -> dict[str, bool]:
    """
    Whether our predictions are those without a cache: of a few queries, and of many labels the two best ones only, as
    one query with 77 labels takes minutes. Argmax is compared with likelihood, on all queries where that was run.
    """
    equal = {}
    if "generate" in found:
        said = found["generate"]
        equal["generate"] = all(said[query] == case.template.parse(text) for query, text in answers.items())
    checked = case.some[: 1 if case.many_labels else options.checked]
    scores_QK = predict(backend, case, checked).logprobs_QK
    plain = {
        query: plain_label(backend.model, backend.tokenizer, case, query, np.argsort(-scores_K)[:2])[0]
        for query, scores_K in zip(checked, scores_QK, strict=True)
    }
    for scoring in set(found) - {"generate"}:
        equal[scoring] = all(found[scoring][query] == label for query, label in plain.items())
    if {"argmax", "likelihood"} <= set(found):
        equal["argmax"] &= all(found["argmax"][query] == label for query, label in found["likelihood"].items())
    return equal


def bfloat16_margins(options, case: Case) -> dict:
    """How many of our predictions in bfloat16 are not those without a cache, and how near a tie these queries are."""
    backend = load(options, "bfloat16")
    queries = case.some[: options.bfloat16_queries]
    margins, largest = [], 0.0
    ours = predict(backend, case, queries)
    for query, label, scores_K in zip(queries, ours.predictions_Q, ours.logprobs_QK, strict=True):
        plain, plain_K = plain_label(backend.model, backend.tokenizer, case, query, range(len(scores_K)))
        largest = max(largest, float(np.abs(np.subtract(plain_K, scores_K)).max()))
        if plain != label:
            margins.append(float(np.ptp(np.sort(plain_K)[-2:])))
    print("bfloat16", margins, largest, file=sys.stderr, flush=True)
    return {
        "queries": len(queries),
        "different_predictions": len(margins),
        "greatest_margin_of_those": max(margins, default=0.0),
        "greatest_difference_of_a_score": largest,
    }


# The limit of the machine


def matmul_rate(model, tokens: int, repeats: int = 5) -> float:
    """Floating-point operations per second of the matrix products of one layer for so many tokens."""
    layer = model.get_decoder().layers[0]
    weights = [module.weight for module in layer.modules() if isinstance(module, torch.nn.Linear)]
    inputs = {size: torch.randn(tokens, size, dtype=model.dtype) for size in {w.shape[1] for w in weights}}
    rates = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            for weight in weights:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)
            rates.append(2 * tokens * sum(w.numel() for w in weights) / (time.perf_counter() - start))
    return statistics.median(rates)


def outside_embeddings(model) -> int:
    """Number of parameters."""
    embeddings = {
        id(e.weight): e.weight.numel() for e in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return sum(p.numel() for p in model.parameters()) - sum(embeddings.values())


def encoded_of(tokenizer, case: Case):
    prompts = case.prompts
    return encode_prompts(tokenizer, prompts.prefix, prompts.queries, prompts.continuations, prompts.terminator)


def least_flops(model, tokenizer, case: Case) -> float:
    """Floating-point operations of likelihood for a query that are left if attention and all else were free."""
    encoded = encoded_of(tokenizer, case)
    inner = len(LabelTrie(encoded.labels).inner)
    read = statistics.mean(map(len, encoded.queries)) + inner
    return 2.0 * (outside_embeddings(model) * read + model.get_output_embeddings().weight.numel() * (1 + inner))


def fraction_of_limit(options, backend, case: Case) -> dict:
    """How near the reading of queries is to the rate of the matrix products that it cannot do without."""
    model, encoded = backend.model, encoded_of(backend.tokenizer, case)
    tokens = sum(map(len, encoded.queries)) + len(encoded.queries) * sum(len(x) - 1 for x in encoded.labels)
    size = outside_embeddings(model)
    fractions, rates = [], []
    for _ in range(options.repeats):
        rates.append(rate := matmul_rate(model, 1920))
        start = time.perf_counter()
        with torch.inference_mode():
            prefill(model, encoded.prefix)
        read = time.perf_counter() - start
        start = time.perf_counter()
        score_prompts(model, encoded, backend.token_budget)
        seconds = time.perf_counter() - start - read
        fractions.append(2 * size * tokens / rate / seconds)
        print("limit", rate / 1e9, seconds, fractions[-1], file=sys.stderr, flush=True)
    return {
        "fraction_of_limit": statistics.median(fractions),
        "gflops": statistics.median(rates) / 1e9,
        "tokens": tokens,
    }


# lm-evaluation-harness


def lm_eval_side(options, backend, cases: dict[str, Case]) -> dict:
    """Seconds a query of lm-evaluation-harness on the same prompts and labels, and whether it predicts the same."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    sides = {}
    for name, size, number, labels in (("sst2_r5", 8, 16, None), ("banking77_r1", 1, 1, 8)):
        case = cases[name]
        model = HFLM(
            pretrained=backend.model, tokenizer=backend.tokenizer, batch_size=size, device="cpu", max_length=32768
        )
        queries = case.some[:number]
        continuations = case.prompts.continuations[:labels]
        requests = [
            Instance("loglikelihood", {}, (case.prompt(query), continuation), 0)
            for query in queries
            for continuation in continuations
        ]
        start = time.perf_counter()
        scores = np.array([score for score, _ in model.loglikelihood(requests, disable_tqdm=True)])
        seconds = (time.perf_counter() - start) / len(queries)
        seconds *= len(case.prompts.continuations) / len(continuations)
        sides[name] = {"seconds_per_query": seconds, "queries": len(queries), "labels_run": len(continuations)}
        if labels is None:
            theirs = scores.reshape(len(queries), -1).argmax(1)
            sides[name]["same_predictions"] = bool((predict(backend, case, queries).predictions_Q == theirs).all())
        print("lm_eval", name, sides[name], file=sys.stderr, flush=True)
    return sides


# Memory


def peak_memory(options) -> float:
    """Peak resident memory, MiB, of this process reading 16,384 tokens and, with `--memory queries`, 500 queries."""
    backend = load(options)
    rng = np.random.default_rng(0)
    prefix = rng.integers(1000, 20000, 16384).tolist()
    with torch.inference_mode():
        text = backend.tokenizer.decode(prefix)
        if options.memory == "prefill":
            prefill(backend.model, encode(backend.tokenizer, [text])[0].tolist())
        else:
            words = [backend.tokenizer.decode(rng.integers(1000, 20000, int(n))) for n in rng.integers(5, 40, 500)]
            queries = [f" Text: {word} Label:" for word in words]
            backend.score(Prompts(text, queries, [" good", " bad"], " Text:"))
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def memory_ratio(options) -> dict:
    found = {}
    for what in ("prefill", "queries"):
        command = [sys.executable, __file__, "--memory", what, "--dtype", options.dtype]
        command += ["--model", options.model] if options.model else []
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        found[f"{what}_mb"] = json.loads(done.stdout)
    return {"memory_ratio_16k": found["queries_mb"] / found["prefill_mb"], "memory": found}


def load(options, dtype: str | None = None) -> TransformersBackend:
    path = options.model or str(offline_model_path("gemma"))
    return TransformersBackend(*load_causal_lm(path, ICLModelArguments(model=path, dtype=dtype or options.dtype)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with sst2/ and banking77/; their Hub versions without it")
    parser.add_argument("--model", help="directory or Hub id (default: Gemma 3 270M as prepared)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=500, help="as many as the reference's command line takes")
    parser.add_argument("--many_labels_queries", type=int, default=150)
    parser.add_argument("--bfloat16_queries", type=int, default=100)
    parser.add_argument("--checked", type=int, default=8, help="queries whose labels are compared without a cache")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--parts", nargs="*", default=["cases", "limit", "bfloat16", "lm_eval", "memory"])
    parser.add_argument("--memory", choices=["prefill", "queries"], help="only print this process's peak memory")
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(peak_memory(options)))
        return
    backend = load(options)
    needed = {"limit": ["sst2_r5"], "bfloat16": ["sst2_r5"], "lm_eval": ["sst2_r5", "banking77_r1"]}
    names = dict.fromkeys([*options.cases, *(name for part in options.parts for name in needed.get(part, []))])
    cases = {name: Case(options, name, *CASES[name][:2]) for name in names}
    result: dict = {"dtype": options.dtype, "repeats": options.repeats, "ratios": {}, "cases": {}}
    if "cases" in options.parts:
        for name in options.cases:
            result["cases"][name] = found = compare(options, backend, cases[name], CASES[name][2])
            seconds = found["seconds_per_query"]
            for scoring in CASES[name][2]:
                result["ratios"][f"{name}_{scoring}"] = seconds["plain"] / seconds[scoring]
        result["ratios_without_output_layer"] = {
            f"{name}_likelihood": seconds["plain"] / (seconds["likelihood"] - found["seconds_in_output_layer"])
            for name, found in result["cases"].items()
            if "likelihood" in (seconds := found["seconds_per_query"])
        }
        result["predictions_equal"] = all(all(c["equal"].values()) for c in result["cases"].values())
    if "limit" in options.parts:
        result |= fraction_of_limit(options, backend, cases["sst2_r5"])
        result["highest_ratios"] = {
            f"{name}_likelihood": found["seconds_per_query"]["plain"]
            * result["gflops"]
            * 1e9
            / least_flops(backend.model, backend.tokenizer, cases[name])
            for name, found in result["cases"].items()
            if "likelihood" in CASES[name][2]
        }
    if "bfloat16" in options.parts:
        result["bfloat16"] = bfloat16_margins(options, cases["sst2_r5"])
    if "lm_eval" in options.parts:
        result["lm_eval"] = lm_eval_side(options, backend, cases)
        for name, side in result["lm_eval"].items():
            if name in result["cases"]:
                ours = result["cases"][name]["seconds_per_query"]["likelihood"]
                result["ratios"][f"lm_eval_{name}"] = side["seconds_per_query"] / ours
    if "memory" in options.parts:
        result |= memory_ratio(options)
    print_result(result)


if __name__ == "__main__":
    main()

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
In-context evaluation against the plain way, and against lm-evaluation-harness.

    python benchmarks/icl.py --data_dir data > docs/results/icl.json

Gemma 3 270M (`ddg-hf models`), float32 unless `--dtype` says otherwise, balanced demonstrations of the training rows,
queries of the validation split. The sides take turns in one process:

- plain: one query at a time, the whole prompt, `generate` of 10 tokens;
- ours: [`~ddg_hf.evaluation.icl.ICLEvaluator`] on `--queries` queries at once, the prefix read anew each time;
- lm_eval: lm-evaluation-harness' `hf` model on the same prompts and labels (`pip install lm_eval==0.4.13`; without it
  leave the part out with `--parts cases limit memory`).

`ratios.<task>_r<rounds>_<scoring>` are seconds a query, plain over ours, of medians. `predictions_equal` says whether
our predictions are those of the same scoring without a cache: of `--checked` queries, of one where there are many
labels (and then its two best labels only), and with `generate` of those that the plain side has answered.
`fraction_of_limit`: 2 x parameters outside the embeddings x tokens of queries and labels without padding, over the
rate of matrix products of the model's shapes measured in the same run, over the time of SST-2's likelihood with
5 rounds, prefix left out.
`memory_ratio_16k`: peak memory of a process that answers 500 queries behind 16,384 tokens over that of one that only
reads these. Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from report import print_result

from ddg_hf.configs import ICLModelArguments
from ddg_hf.data.loading import load_data
from ddg_hf.evaluation.demonstrations import balanced_sample, select_sets, to_demonstrations
from ddg_hf.evaluation.icl import ICLEvaluator, Prompts, PromptTemplate, TransformersBackend
from ddg_hf.evaluation.icl.encoding import encode, encode_prompts
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
        # As many queries as an evaluation has: the prefix is read once for all of them.
        number = 500 if rounds > 1 and spec.num_labels > 20 else options.queries
        chosen = balanced_sample(split["label"], number, 0, spec.num_labels)
        self.queries = [texts for texts, _ in to_demonstrations(split.select(chosen), spec)]
        self.template = PromptTemplate.from_task(spec)
        self.prompts = self.template.prompts(self.demonstrations, self.queries)
        # Neighbours have the same label.
        self.some = np.random.default_rng(0).permutation(len(self.queries)).tolist()

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
def plain_label(model, tokenizer, case: Case, query: int, labels) -> int:
    """The most likely of some labels, each behind the whole prompt, without a cache."""
    prompts = case.prompts
    encoded = encode_prompts(tokenizer, "", [case.prompt(query)], prompts.continuations, prompts.terminator)
    prompt, scores = encoded.prefix + encoded.queries[0], []
    for tokens in (encoded.labels[label] for label in labels):
        ids = torch.tensor([prompt + tokens])
        logits = model(ids, use_cache=False, logits_to_keep=len(tokens) + 1).logits[0, :-1]
        scores.append(logits.float().log_softmax(-1)[range(len(tokens)), tokens].sum().item())
    return int(labels[int(np.argmax(scores))])


def compare(options, backend, case: Case, scorings) -> dict:
    """Seconds a query of both sides, in turn, and whether the predictions agree with those without a cache."""
    model, tokenizer = backend.model, backend.tokenizer
    seconds: dict[str, list[float]] = {"plain": [], **{scoring: [] for scoring in scorings}}
    answers, found = {}, {}
    for repeat in range(options.repeats):
        query = case.some[repeat]
        start = time.perf_counter()
        answers[query] = plain_answer(model, tokenizer, case.prompt(query))
        seconds["plain"].append(time.perf_counter() - start)
        for scoring in scorings:
            evaluator = ICLEvaluator(backend, case.template, scoring)
            found[scoring] = evaluator.evaluate(case.demonstrations, case.queries)
            seconds[scoring].append(found[scoring].seconds / len(case.queries))
        print(case.name, {key: round(values[-1], 4) for key, values in seconds.items()}, file=sys.stderr, flush=True)
    return {
        "prompt_tokens": len(encode(tokenizer, [case.prompt(0)])[0]),
        "queries": len(case.queries),
        "seconds_per_query": {key: statistics.median(values) for key, values in seconds.items()},
        "equal": check(options, backend, case, found, answers),
    }


def check(options, backend, case: Case, found: dict, answers: dict[int, str]) -> dict[str, bool]:
    """
    Whether our predictions are those without a cache: of a few queries, and of many labels the two best ones only, as
    one query with 77 labels takes minutes. Argmax is compared with likelihood, on all queries where that was run.
    """
    equal = {}
    if "generate" in found:
        predictions_Q = found["generate"].predictions_Q
        equal["generate"] = all(predictions_Q[query] == case.template.parse(text) for query, text in answers.items())
    checked = case.some[: options.checked if len(case.template.label_words) < 20 else 1]
    if "likelihood" in found:
        scores_QK = found["likelihood"].logprobs_QK
    else:
        few = ICLEvaluator(backend, case.template).evaluate(case.demonstrations, [case.queries[i] for i in checked])
        scores_QK = np.full((len(case.queries), few.logprobs_QK.shape[1]), -np.inf)
        scores_QK[checked] = few.logprobs_QK
    for scoring in set(found) - {"generate"}:
        equal[scoring] = all(
            plain_label(backend.model, backend.tokenizer, case, query, np.argsort(-scores_QK[query])[:2])
            == found[scoring].predictions_Q[query]
            for query in checked
        )
    if {"argmax", "likelihood"} <= set(found):
        equal["argmax"] &= bool((found["argmax"].predictions_Q == found["likelihood"].predictions_Q).all())
    return equal


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


def fraction_of_limit(options, backend, case: Case) -> dict:
    """How near the reading of queries is to the rate of the matrix products that it cannot do without."""
    model, tokenizer = backend.model, backend.tokenizer
    prompts = case.prompts
    encoded = encode_prompts(tokenizer, prompts.prefix, prompts.queries, prompts.continuations, prompts.terminator)
    tokens = sum(map(len, encoded.queries)) + len(encoded.queries) * sum(len(x) - 1 for x in encoded.labels)
    embeddings = {
        id(e.weight): e.weight.numel() for e in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    size = sum(p.numel() for p in model.parameters()) - sum(embeddings.values())
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
            found = ICLEvaluator(backend, case.template).evaluate(case.demonstrations, case.queries).predictions_Q
            theirs = scores.reshape(len(queries), -1).argmax(1)
            sides[name]["same_predictions"] = bool((found[queries] == theirs).all())
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


def load(options) -> TransformersBackend:
    path = options.model or str(offline_model_path("gemma"))
    return TransformersBackend(*load_causal_lm(path, ICLModelArguments(model=path, dtype=options.dtype)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with sst2/ and banking77/; their Hub versions without it")
    parser.add_argument("--model", help="directory or Hub id (default: Gemma 3 270M as prepared)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--checked", type=int, default=8, help="queries whose labels are compared without a cache")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--parts", nargs="*", default=["cases", "limit", "lm_eval", "memory"])
    parser.add_argument("--memory", choices=["prefill", "queries"], help="only print this process's peak memory")
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(peak_memory(options)))
        return
    backend = load(options)
    needed = {"limit": ["sst2_r5"], "lm_eval": ["sst2_r5", "banking77_r1"]}
    names = dict.fromkeys([*options.cases, *(name for part in options.parts for name in needed.get(part, []))])
    cases = {name: Case(options, name, *CASES[name][:2]) for name in names}
    result: dict = {"dtype": options.dtype, "repeats": options.repeats, "ratios": {}, "cases": {}}
    if "cases" in options.parts:
        for name in options.cases:
            result["cases"][name] = found = compare(options, backend, cases[name], CASES[name][2])
            seconds = found["seconds_per_query"]
            for scoring in CASES[name][2]:
                result["ratios"][f"{name}_{scoring}"] = seconds["plain"] / seconds[scoring]
        result["predictions_equal"] = all(all(c["equal"].values()) for c in result["cases"].values())
    if "limit" in options.parts:
        result |= fraction_of_limit(options, backend, cases["sst2_r5"])
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

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Demonstrations of each query's own: prefixes read in batches against one after the other.

    python benchmarks/own_prefixes.py --data_dir data > docs/results/own_prefixes.json

Gemma 3 270M (`ddg-hf models`), float32, SST-2, random training rows for each query (how they are chosen takes no part
in the timing), the query and the three queries without content behind them. `ratios.dpc_<n>` are seconds a query, one
after the other over batches, medians of `--repeats` turns; `largest_difference` is between the scores of both sides.
Prints one JSON object.
"""

import argparse
import statistics
import time

import numpy as np
from report import print_result

from ddg_hf.configs import ICLModelArguments
from ddg_hf.data.loading import load_data
from ddg_hf.evaluation.demonstrations import balanced_sample, to_demonstrations
from ddg_hf.evaluation.icl import PromptTemplate, TransformersBackend
from ddg_hf.evaluation.icl.evaluator import CONTENT_FREE
from ddg_hf.models.loading import load_causal_lm
from ddg_hf.models.offline import offline_model_path


def groups_of(options, dpc: int) -> list:
    """Prompts of each query with demonstrations of its own."""
    spec, data = load_data(task="sst2", data_dir=options.data_dir)
    template, rng = PromptTemplate.from_task(spec), np.random.default_rng(0)
    train = to_demonstrations(data["train"], spec)
    chosen = balanced_sample(data["validation"]["label"], options.queries, 0, spec.num_labels)
    groups = []
    for query, _ in to_demonstrations(data["validation"].select(chosen), spec):
        shown = [train[row] for row in rng.choice(len(train), dpc * spec.num_labels, replace=False)]
        groups.append(template.prompts(shown, [query, *((text,) for text in CONTENT_FREE)]))
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with sst2/; its Hub version without it")
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--dpc", type=int, nargs="*", default=[1, 5, 20])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    path = str(offline_model_path("gemma"))
    backend = TransformersBackend(*load_causal_lm(path, ICLModelArguments(model=path)))
    seconds, ratios, difference = {}, {}, 0.0
    for dpc in options.dpc:
        groups = groups_of(options, dpc)
        backend.score_each(groups[:2])
        sides: dict[str, list[float]] = {"one_by_one": [], "batches": []}
        for _ in range(options.repeats):
            start = time.perf_counter()
            alone = [backend.score(prompts) for prompts in groups]
            middle = time.perf_counter()
            together = backend.score_each(groups)
            sides["one_by_one"].append((middle - start) / len(groups))
            sides["batches"].append((time.perf_counter() - middle) / len(groups))
            pairs = zip(alone, together, strict=True)
            difference = max(difference, *(float(np.abs(a.logprobs_QK - b.logprobs_QK).max()) for a, b in pairs))
        seconds[f"dpc_{dpc}"] = {side: statistics.median(values) for side, values in sides.items()}
        ratios[f"dpc_{dpc}"] = seconds[f"dpc_{dpc}"]["one_by_one"] / seconds[f"dpc_{dpc}"]["batches"]
    print_result({"ratios": ratios, "seconds_per_query": seconds, "largest_difference": difference})


if __name__ == "__main__":
    main()

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Which of the sampled texts are best kept? One pool of texts, several ways to choose from it, tested on validation rows.

    python benchmarks/selection_search.py --task sst2 --data_dir data --generator runs/sst2/pretrain_cpu \\
        --learner "$(ddg-hf models --path minilm)" --model "$(ddg-hf models --path gemma)" \\
        --dpc 5 10 --num_sets 5 --test_number 200 --output_dir runs/sst2/selection_search

Texts are sampled once: what `ddg-hf generate` would sample for the same seed. Every way writes a directory of sets,
which `ddg-hf evaluate-icl` evaluates; what is done is not done again. Prints one JSON object.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.generation_config import GenerationArguments

# name -> (selection, whether texts of another label are dropped first)
WAYS = {
    "random": ("random", False),
    "k_centers": ("k_centers", False),
    "herding": ("herding", False),
    "generator_loss": ("generator_loss", False),
    "random_filtered": ("random", True),
    "k_centers_filtered": ("k_centers", True),
    "herding_filtered": ("herding", True),
    "generator_loss_filtered": ("generator_loss", True),
}


@dataclass
class SearchArguments:
    """
    What the sets are tested with.

    Parameters:
        model (`str`): In-context model.
        test_number (`int`, *optional*, defaults to `200`): Validation rows.
    """

    model: str | None = field(default=None, metadata={"help": "In-context model."})
    test_number: int = field(default=200, metadata={"help": "Validation rows."})


def sample_pools(generator, arguments: GenerationArguments, seed: int, number: int, probe):
    """Candidates of every label for set `number`, and which of them the probe gives their label."""
    from ddg_hf.generation import SamplingCounts, sample_candidates

    size = round(arguments.over_sample_ratio * max(arguments.dpc))
    pools = []
    for label in range(generator.format.num_labels):
        parts = (seed, "set", number)
        candidates = sample_candidates(generator, label, size, arguments, parts, SamplingCounts())
        pools.append((candidates, [int(y) == label for y in probe.predict(candidates.rows)]))
    return pools


def choose(pools, way: str, dpc: int, number: int, seed: int, ratio: float, embed):
    """Rows of one set."""
    from ddg_hf.data.rows import DistilledRow
    from ddg_hf.data.samplers import stable_seed
    from ddg_hf.generation import Candidates, select_rows

    selection, filtered = WAYS[way]
    rows = []
    for label, (candidates, right) in enumerate(pools):
        share = range(round(ratio * dpc))
        kept = [i for i in share if right[i] or not filtered]
        if len(kept) < dpc:
            raise UserError(f"only {len(kept)} texts of label {label} are left for {dpc}; raise --over_sample_ratio")
        pool = Candidates([candidates.rows[i] for i in kept], [candidates.losses[i] for i in kept])
        for i in select_rows(pool, dpc, selection, stable_seed(seed, number, label), embed):
            rows.append(DistilledRow(pool.rows[i], label, number, pool.losses[i]))
    return rows


def check_made(way: Path, everything) -> None:
    """Raises `UserError` if the sets that are there were made with other settings."""
    import dataclasses

    from ddg_hf.provenance import METADATA_FILE, read_json

    made = read_json(way / METADATA_FILE)["arguments"]
    asked = {key: value for arguments in everything for key, value in dataclasses.asdict(arguments).items()}
    for name in ("task", "dataset", "generator", "learner", "dpc", "num_sets", "over_sample_ratio", "seed"):
        if made.get(name) != asked[name]:
            raise UserError(
                f"'{way}' was made with --{name} {made.get(name)}, not {asked[name]}; choose another --output_dir"
            )


def write_ways(everything, output_dir: Path) -> None:
    """Samples, and writes a directory of sets for every way."""
    from ddg_hf.data.rows import fingerprints, rows_and_labels
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.formats.distilled import write_distilled
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.generator import Generator
    from ddg_hf.provenance import atomic_directory, run_metadata

    data_args, generator_args, learner_args, arguments, _, run_args = everything
    spec, dataset = data_args.load(seed=run_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    generator = Generator.load(generator_args.generator, generator_args, arguments.restrict_vocabulary)
    encoder = TextEncoder(learner_args, rows=rows)
    probe = LabelProbe(encoder, rows, labels)
    sets = {way: {n: [] for n in arguments.dpc} for way in WAYS}
    for number in range(arguments.num_sets):
        pools = sample_pools(generator, arguments, run_args.seed, number, probe)
        shares = [sum(right) / len(right) for _, right in pools]
        print(f"set {number}: the probe agrees with {[round(share, 3) for share in shares]}", file=sys.stderr)
        for way, by_size in sets.items():
            for n, chosen in by_size.items():
                chosen += choose(pools, way, n, number, run_args.seed, arguments.over_sample_ratio, encoder.embed)
    for way, by_size in sets.items():
        metadata = run_metadata("generate", list(everything), task=spec.name, data_fingerprint=fingerprints(dataset))
        with atomic_directory(output_dir / way) as directory:
            write_distilled(directory, by_size, spec, metadata)


def main(argv: list[str] | None = None) -> None:
    from validation import evaluate_once

    parser = RecipeParser(
        (DataArguments, GeneratorArguments, LearnerArguments, GenerationArguments, SearchArguments, RunArguments)
    )
    everything = parser.parse(argv)
    data_args, _, _, arguments, search_args, run_args = everything
    if search_args.model is None or run_args.output_dir is None:
        raise UserError("--model and --output_dir are needed: the in-context model, and where the sets go")
    output_dir = Path(run_args.output_dir)
    if not all((output_dir / way / "metadata.json").is_file() for way in WAYS):
        write_ways(everything, output_dir)
    for way in WAYS:
        check_made(output_dir / way, everything)
    found = []
    for way in WAYS:
        sets, results = output_dir / way, output_dir / f"icl_{way}"
        for entry in evaluate_once(
            sets, results, data_args.task, data_args.data_dir, search_args.model, search_args.test_number
        ):
            row = {"way": way, "dpc": entry["dpc"], "sets": entry["num_sets"], "queries": entry["num_queries"]}
            row |= {"raw": entry["accuracy"], "calibrated": entry["calibrated_accuracy"]}
            found.append(row)
    print(json.dumps({"command": "python benchmarks/selection_search.py", "rows": found}, indent=2))


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))

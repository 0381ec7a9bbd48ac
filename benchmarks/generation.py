# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Samples per second of `Generator.sample` against a plain `generate` call at the same batch size.

    python benchmarks/generation.py --data_dir data > docs/results/generation.json

A generator of GPT-2-small's shape with random weights (float32, 50,257 tokens) whose end token is forced, so that the
texts have the lengths of a real data set's. Both sides take turns in one process: `plain` is `model.generate` with
top-p 0.95 and the label tokens as `bad_words_ids`, which carries every row until the longest one ends; `ours` is the
loop of [`ddg_hf.models.sampling`]. SST-2 lengths with `--data_dir` (a directory with `sst2/train.parquet`), those of
the embedded data set without it. Prints one JSON object.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence

import torch
from report import print_result
from transformers import GPT2Config, GPT2LMHeadModel

from ddg_hf.data.loading import load_data
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.data.samplers import stable_seed
from ddg_hf.models.generator import Generator
from ddg_hf.models.nll import add_per_sample_nll
from ddg_hf.models.sampling import sample_rows
from ddg_hf.models.sequence_format import EncodedText, build_format
from ddg_hf.models.tiny import tiny_generator

TOP_P = 0.95


class ForcedLengthGPT2(GPT2LMHeadModel):
    """
    A GPT-2 whose texts end with given probabilities, for random weights that never end one.

    With `hazard_T` set (`[T]`: the probability that new token t, counted from 0, is the end token if none was before)
    a forward pass with a cache raises or lowers the end token's logit accordingly. Losses are left alone.
    """

    hazard_T: Sequence[float] | None = None
    prefix_length = 0
    eos_id = 0

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        if self.hazard_T is not None and output.past_key_values is not None:
            step = output.past_key_values.get_seq_length() - self.prefix_length
            # The rest of the nucleus is TOP_P less the end token: this share of the whole is `hazard` of the nucleus.
            share = TOP_P * self.hazard_T[min(step, len(self.hazard_T) - 1)]
            logits = output.logits[:, -1]
            logits[:, self.eos_id] = -math.inf
            if share > 0:
                odds = 1e6 if share == TOP_P else share / (1 - share)
                logits[:, self.eos_id] = logits.logsumexp(-1) + math.log(odds)
        return output


def length_hazard(samples: Sequence[EncodedText], eos_id: int) -> list[float]:
    """`[T]`: the share of the targets with at least t + 1 tokens whose token t is the end token."""
    longest = max(len(s.target) for s in samples)
    ends, at_risk = [0] * longest, [0] * longest
    for sample in samples:
        for t in range(len(sample.target)):
            at_risk[t] += 1
        ends[len(sample.target) - 1] += sample.target[-1] == eos_id
    return [e / n for e, n in zip(ends, at_risk, strict=True)]


def forced_length_generator(spec, rows: Sequence[tuple[str, ...]], seed: int = 0, **config) -> Generator:
    """A generator of GPT-2-small's shape with random weights and a tokenizer trained on `rows`."""
    _, tokenizer = tiny_generator(rows)
    eos = tokenizer.eos_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ForcedLengthGPT2(GPT2Config(**{"bos_token_id": eos, "eos_token_id": eos} | config)).eval()
    format = build_format(tokenizer, spec)
    format.bind(tokenizer)
    return Generator(add_per_sample_nll(model), tokenizer, format)


def force_lengths(generator: Generator, hazard_T: Sequence[float] | None) -> None:
    """Makes the texts of a [`forced_length_generator`] end as `hazard_T` says; `None` leaves them alone."""
    model = generator.model
    assert isinstance(model, ForcedLengthGPT2), "lengths can only be forced upon a ForcedLengthGPT2"
    model.hazard_T = hazard_T
    model.prefix_length, model.eos_id = len(generator.format.prefix(0)), generator.format.eos


def plain_rows(generator: Generator, label: int, batch_size: int, max_new_tokens: int, seed: int) -> list[list[int]]:
    """Samples with `generate`; rows are cut after their end token."""
    format = generator.format
    prefix = torch.tensor([format.prefix(label)] * batch_size)
    torch.manual_seed(seed)
    output = generator.model.generate(
        input_ids=prefix,
        attention_mask=torch.ones_like(prefix),
        do_sample=True,
        top_p=TOP_P,
        top_k=0,
        bad_words_ids=[[i] for i in format.label_ids],
        max_new_tokens=max_new_tokens,
        eos_token_id=format.eos,
        pad_token_id=format.eos,
    )
    rows = output[:, prefix.shape[1] :].tolist()
    return [row[: row.index(format.eos) + 1] if format.eos in row else row for row in rows]


def our_rows(generator: Generator, label: int, batch_size: int, max_new_tokens: int, seed: int) -> list[list[int]]:
    """What `Generator.sample` does, at any batch size."""
    return sample_rows(
        generator.model,
        generator.format.prefix(label),
        batch_size,
        max_new_tokens=max_new_tokens,
        eos_ids=[generator.format.eos],
        banned_ids=generator.generation_config(local=True).suppress_tokens,
        top_p=TOP_P,
        temperature=1.0,
        generator=torch.Generator().manual_seed(seed),
    )


def measure(generator: Generator, hazard_T: Sequence[float], batch_size: int = 64, repeats: int = 5) -> dict:
    """
    Times both ways of sampling in turn.

    Args:
        generator (`Generator`): from [`forced_length_generator`]; its forced lengths are restored afterwards.
        hazard_T (`Sequence[float]`): see [`length_hazard`].
        batch_size (`int`): rows per call, on both sides.
        repeats (`int`): calls of each.

    Returns:
        `dict`: medians of the seconds per sample, their ratio plain / ours, samples per second, and the mean number of
        tokens per sample, which is the same but for chance.
    """
    before = generator.model.hazard_T
    force_lengths(generator, hazard_T)
    longest = generator.format.max_length + len(generator.format.text_columns)
    sides = {"plain": plain_rows, "ours": our_rows}
    for sample in sides.values():
        sample(generator, 0, batch_size, 2, 0)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    tokens: dict[str, int] = dict.fromkeys(sides, 0)
    for repeat in range(repeats):
        for name, sample in sides.items():
            label = repeat % generator.format.num_labels
            start = time.perf_counter()
            rows = sample(generator, label, batch_size, longest, stable_seed("benchmark", repeat))
            seconds[name].append((time.perf_counter() - start) / batch_size)
            tokens[name] += sum(map(len, rows))
    force_lengths(generator, before)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "batch_size": batch_size,
        "repeats": repeats,
        "seconds_per_sample": {name: round(value, 4) for name, value in medians.items()},
        "samples_per_second": {name: round(1 / value, 2) for name, value in medians.items()},
        "tokens_per_sample": {name: round(n / batch_size / repeats, 1) for name, n in tokens.items()},
        "ratio": round(medians["plain"] / medians["ours"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with TASK/train.parquet; the embedded data set without it")
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    if options.data_dir:
        spec, data = load_data(task=options.task, data_dir=options.data_dir)
    else:
        spec, data = load_data(task="toy")
    rows, labels = rows_and_labels(data["train"], spec)
    generator = forced_length_generator(spec, rows)
    samples = [generator.format.encode(row, label) for row, label in zip(rows, labels, strict=True)]
    result = measure(generator, length_hazard(samples, generator.format.eos), options.batch_size, options.repeats)
    tokens = sum(len(s.target) for s in samples) / len(samples)
    print_result({"task": spec.name, "tokens_per_real_row": tokens, **result})


if __name__ == "__main__":
    main()

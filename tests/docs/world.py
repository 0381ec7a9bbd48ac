# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
A directory in which the commands of the pages run as they stand: where a page names a model of the Hub, there is a
directory of that name with a tiny one, and the data of the tasks is a few made-up rows.
"""

import csv
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ddg_hf.data.tasks import get_task
from ddg_hf.models import offline
from ddg_hf.models.tiny import tiny_classifier
from tests import tiny_models
from tests.docs.pages import PAGES, ROOT, blocks_of

GENERATORS = ("gpt2", "Qwen/Qwen2.5-0.5B")
IN_CONTEXT = ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-7B", "google/gemma-3-270m", "runs/model", "runs/my_model")
LEARNERS = ("bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2", "roberta-base")
TASKS = ("sst2", "banking77")
QUEUES = ("billing", "delivery", "returns")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def texts_of(label: str, number: int, seed: int) -> list[str]:
    """Short made-up texts that tell the label, all different."""
    rng = random.Random(f"{label} {seed}")
    words = [f"{label.split('_')[0].lower()}", "warm", "dull", "long", "late", "early", "first", "last", "new"]
    return [" ".join([words[0], *rng.choices(words[1:], k=rng.randint(1, 3)), f"{i}"]) for i in range(number)]


def write_task(name: str, directory: Path, train: int, validation: int) -> list[str]:
    """Writes `directory/<task>/{train,validation}.parquet`; returns the texts."""
    spec = get_task(name)
    written = []
    for seed, (split, number) in enumerate((("train", train), ("validation", validation), ("test", validation))):
        rows = [(text, y) for y, label in enumerate(spec.label_names) for text in texts_of(label, number, seed)]
        columns = {spec.text_columns[0]: [text for text, _ in rows], spec.label_column: [y for _, y in rows]}
        (directory / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), directory / name / f"{split}.parquet")
        written += columns[spec.text_columns[0]]
    return written


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that needs few tokens for the prompts of the tasks."""
    prompts = [word for task in (*TASKS, "toy") for word in get_task(task).label_words] * 3
    prompts += ["Review: Sentiment: Message: Intent: Text: Label: " + get_task("sst2").instruction] * 3
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1200, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*prompts, *(" " + text for text in texts)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        extra_special_tokens=special[4:],
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )


def write_table(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])


def write_files(directory: Path) -> list[str]:
    """The files that pages read; returns their texts."""
    tickets = [(text, queue) for queue in QUEUES for text in texts_of(queue, 24, 0)]
    write_table(directory / "tickets.csv", ("message", "queue"), tickets)
    write_table(directory / "held_out.csv", ("message", "queue"), [(f"held out {text}", y) for text, y in tickets[:9]])
    reviews = [(text, y) for y, name in enumerate(("low", "mid", "high")) for text in texts_of(name, 4, 0)]
    write_table(directory / "reviews.csv", ("review", "stars"), reviews)
    lines = [{"text": text, "label": y % 2} for text, y in reviews]
    (directory / "reviews.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    rows = [{"sentence": text, "labels": y} for y in (0, 1) for text in texts_of(str(y), 5, 3)]
    published = directory / "DiLM-synthetic-data" / "sst2" / "dilm.dc" / "dpc_5.gpt2" / "dataset"
    published.mkdir(parents=True)
    for path in (directory / "dataset_0.json", published / "dataset_0.json", published / "dataset_1.json"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_shown_files(directory)
    return [text for text, _ in tickets]


def write_shown_files(directory: Path) -> None:
    """YAML blocks that begin with the name of their file: commands of the page name it."""
    for page in PAGES:
        for block in blocks_of(page):
            name = block.text.partition("\n")[0].removeprefix("# ")
            if block.language == "yaml" and name.endswith(".yaml") and "/" not in name:
                (directory / name).write_text(block.text, encoding="utf-8")


def link_project(directory: Path) -> None:
    """What pages name of the project's own files."""
    for folder in ("recipes", "accelerate_configs", "benchmarks"):
        (directory / folder).symlink_to(ROOT / folder)


def build_world(directory: Path, home: Path) -> None:
    """Makes the directory, and in `home` the models that `ddg-hf models` would prepare."""
    directory.mkdir()
    link_project(directory)
    texts = write_files(directory)
    texts += write_task("sst2", directory / "data", train=60, validation=20)
    texts += write_task("banking77", directory / "data", train=12, validation=2)
    tokenizer = make_tokenizer(texts)
    prepared = {name: home / "models" / folder for name, folder in offline.DIRECTORIES.items()}
    for name in (*GENERATORS, *IN_CONTEXT, prepared["gemma"]):
        # Without dropout they learn to write in fewer steps.
        if name == "gpt2":
            dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            model = tiny_models.make_gpt2(len(tokenizer), n_positions=1024, **dropout)
        else:
            model = tiny_models.make_qwen2(len(tokenizer), max_position_embeddings=32768)
        tokenizer.chat_template = CHAT_TEMPLATE if "Instruct" in str(name) else None
        model.save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)
    encoder, encoder_tokenizer = tiny_classifier([(text,) for text in texts], num_labels=2)
    for name in (*LEARNERS, prepared["minilm"]):
        encoder.save_pretrained(directory / name)
        encoder_tokenizer.save_pretrained(directory / name)
    for name, path in prepared.items():
        offline._write_manifest(path, name, ["made for the tests of the documents"])

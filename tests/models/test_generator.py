# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The generator: construction, checkpoints, sampling, adapters."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from ddg_hf.configs import GeneratorArguments
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.models.generator import CHUNK_SIZES, Generator, chunk_size, num_chunks
from ddg_hf.models.sequence_format import FORMAT_FILE
from tests import tiny_models
from tests.models.helpers import PAIR, PAIR_ROWS, SINGLE, SINGLE_ROWS, make_generator, save_base

ARCHITECTURES = ["gpt2", "llama", "qwen2", "gemma3"]


def samples_of(generator: Generator, rows=SINGLE_ROWS):
    return [generator.format.encode(row, label) for label in range(2) for row in rows]


def train_a_little(generator: Generator, steps: int = 3) -> None:
    """A few large steps, so that every trained weight differs from the pretrained one."""
    parameters = [p for p in generator.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    batch = generator.collate(samples_of(generator))
    for _ in range(steps):
        generator.model(**batch)["nll"].mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_checkpoint_is_ordinary_and_whole(architecture, tmp_path):
    generator = make_generator(tmp_path / "base", tiny_models.CAUSAL_BUILDERS[architecture])
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    train_a_little(generator)
    out = tmp_path / "out"
    generator.save_pretrained(out)

    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert type(model) is type(base)
    assert len(tokenizer) == len(generator.tokenizer) == model.config.vocab_size
    assert model.config.architectures == base.config.architectures
    assert not list(out.glob("*.bin")) and not list(out.glob("*.pt"))

    known = base.config.vocab_size
    kept = set(generator.vocabulary.kept_ids.tolist())
    untouched = [i for i in range(known) if i not in kept]
    assert 100 < len(untouched) < known
    for get in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(base, get)().weight, getattr(model, get)().weight
        assert torch.equal(after[untouched], before[untouched])
        trained = getattr(generator.model, get)().weight
        assert torch.equal(after[generator.vocabulary.kept_ids], trained)
    assert not torch.equal(
        model.get_input_embeddings().weight[list(kept)[:5]], base.get_input_embeddings().weight[list(kept)[:5]]
    )

    # A plain model gives a text the same logits where the vocabulary is kept.
    encoded = generator.format.encode(SINGLE_ROWS[0], 0)
    ids = encoded.prefix + encoded.target
    full = model(input_ids=torch.tensor([generator.vocabulary.to_full(ids)])).logits[0]
    local = generator.model(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(full[:, generator.vocabulary.kept_ids], local, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trim", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_save_and_load_round_trip(architecture, trim, tmp_path):
    generator = make_generator(tmp_path / "base", tiny_models.CAUSAL_BUILDERS[architecture], trim_vocabulary=trim)
    train_a_little(generator)
    generator.save_pretrained(tmp_path / "out")
    loaded = Generator.load(str(tmp_path / "out"), GeneratorArguments())
    assert (loaded.vocabulary is None) == (not trim)
    assert torch.equal(loaded.nll(samples_of(loaded)), generator.nll(samples_of(generator)))
    assert loaded.sample(0, 0, 1) == generator.sample(0, 0, 1)
    # And again: a second save is the first.
    loaded.save_pretrained(tmp_path / "again")
    with (
        safe_open(tmp_path / "out" / "model.safetensors", "pt") as first,
        safe_open(tmp_path / "again" / "model.safetensors", "pt") as second,
    ):
        assert set(first.keys()) == set(second.keys())
        assert all(torch.equal(first.get_tensor(k), second.get_tensor(k)) for k in first.keys())


def test_saving_leaves_the_generator_usable(tmp_path):
    generator = make_generator(tmp_path / "base")
    before = generator.nll(samples_of(generator))
    generator.save_pretrained(tmp_path / "out")
    assert generator.model.config.vocab_size == len(generator.vocabulary)
    assert torch.equal(generator.nll(samples_of(generator)), before)


def test_unrestricted_load_spreads_the_softmax(tmp_path):
    make_generator(tmp_path / "base").save_pretrained(tmp_path / "out")
    restricted = Generator.load(str(tmp_path / "out"), GeneratorArguments())
    full = Generator.load(str(tmp_path / "out"), GeneratorArguments(), restrict_vocabulary=False)
    assert full.vocabulary is None
    assert (full.nll(samples_of(full)) > restricted.nll(samples_of(restricted))).all()


def test_outside_probability_is_what_the_restriction_takes_away(tmp_path):
    make_generator(tmp_path / "base").save_pretrained(tmp_path / "out")
    restricted = Generator.load(str(tmp_path / "out"), GeneratorArguments())
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    sample = restricted.format.encode(SINGLE_ROWS[0], 1)
    ids = restricted.vocabulary.to_full(sample.prefix + sample.target)
    logits = plain(input_ids=torch.tensor([ids])).logits[0, len(sample.prefix) - 1 : -1]
    outside = 1 - logits.softmax(-1)[:, restricted.vocabulary.kept_ids].sum(-1)
    assert outside.mean() > 0.1
    assert restricted.outside_probability([sample]) == pytest.approx(outside.mean().item(), rel=1e-4)


def test_nll_does_not_depend_on_batching(tmp_path):
    generator = make_generator(tmp_path / "base")
    samples = samples_of(generator)
    torch.testing.assert_close(generator.nll(samples, token_budget=1), generator.nll(samples, token_budget=10_000))


@pytest.mark.parametrize("initialization", ["name", "bos"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_label_tokens_start_from_name_or_begin_token(architecture, initialization, tmp_path):
    generator = make_generator(
        tmp_path / "base",
        tiny_models.CAUSAL_BUILDERS[architecture],
        label_initialization=initialization,
        trim_vocabulary=False,
    )
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tokenizer, label_ids = generator.tokenizer, generator.format.label_ids
    for get in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(base, get)().weight, getattr(generator.model, get)().weight
        assert torch.equal(after[: len(before)], before), "existing rows stay"
        for label, name in enumerate(SINGLE.label_names):
            name_ids = tokenizer(" " + name, add_special_tokens=False).input_ids
            source = name_ids if initialization == "name" else [tokenizer.bos_token_id]
            torch.testing.assert_close(after[label_ids[label]], before[source].mean(0))
        torch.testing.assert_close(after[generator.format.separator_id], before.mean(0))


def test_spare_embedding_rows_are_used_and_never_shrunk(tmp_path):
    tokenizer = tiny_models.build_tiny_tokenizer()
    tiny_models.make_gpt2(len(tokenizer) + 50).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    generator = Generator.create(
        GeneratorArguments(generator=str(tmp_path)), SINGLE, SINGLE_ROWS, trim_vocabulary=False
    )
    assert generator.model.get_input_embeddings().weight.shape[0] == len(tokenizer) + 50


@pytest.mark.parametrize("spec", [SINGLE, PAIR], ids=["single", "pair"])
@pytest.mark.parametrize("trim", [True, False])
def test_sampling_is_keyed_by_its_seed_parts(spec, trim, tmp_path):
    generator = make_generator(tmp_path, spec=spec, trim_vocabulary=trim)
    first = generator.sample(0, 0, 42, "round", 1)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.rand(3)
    state = torch.get_rng_state()
    again = generator.sample(0, 0, 42, "round", 1)
    assert torch.equal(torch.get_rng_state(), state) and not torch.equal(state, torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert again == first
    for other in (
        generator.sample(1, 0, 42, "round", 1),
        generator.sample(0, 1, 42, "round", 1),
        generator.sample(0, 0, 42, "round", 2),
        generator.sample(0, 0, 43, "round", 1),
    ):
        assert other != first


@pytest.mark.parametrize("spec", [SINGLE, PAIR], ids=["single", "pair"])
def test_control_tokens_never_occur_in_samples(spec, tmp_path):
    generator = make_generator(tmp_path, spec=spec)
    control = [i for i in generator.format._local(generator.format.control_ids)]
    assert len(control) >= 3
    # Make them by far the likeliest tokens.
    direction = generator.model.get_output_embeddings().weight[control].detach().mean(0)
    with torch.no_grad():
        generator.model.transformer.ln_f.bias.copy_(direction * 50)
    rows = generator.sample(0, 0, 1)
    assert not {token for row in rows for token in row} & set(control)
    assert all(len(row) <= spec.max_length + len(spec.text_columns) for row in rows)


def test_samples_end_with_their_first_end_token(tmp_path):
    generator = make_generator(tmp_path)
    eos = generator.format.eos
    rows = [row for chunk in range(4) for row in generator.sample(0, chunk, 1, temperature=1.5)]
    ended = [row for row in rows if eos in row]
    assert ended and len(ended) < len(rows)
    assert all(row.index(eos) == len(row) - 1 for row in ended)
    assert all(len(row) == SINGLE.max_length + 1 for row in rows if eos not in row)


def test_settings_of_the_base_checkpoint_do_not_leak_into_sampling(tmp_path):
    """Instruction-tuned checkpoints carry generation settings of their own."""
    arguments = GeneratorArguments(generator=save_base(tmp_path))
    expected = Generator.create(arguments, SINGLE, SINGLE_ROWS).sample(0, 0, 1)
    config = {"do_sample": True, "repetition_penalty": 3.0, "min_p": 0.5, "top_k": 1, "no_repeat_ngram_size": 1}
    (tmp_path / "generation_config.json").write_text(json.dumps({**config, "suppress_tokens": [5, 6, 7, 8]}))
    generator = Generator.create(arguments, SINGLE, SINGLE_ROWS)
    assert generator.sample(0, 0, 1) == expected


def test_saved_generation_config_is_in_full_ids(tmp_path):
    generator = make_generator(tmp_path / "base")
    generator.save_pretrained(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert config["eos_token_id"] == generator.tokenizer.eos_token_id
    assert config["suppress_tokens"] == generator.format.control_ids
    assert (config["do_sample"], config["top_p"], config["top_k"]) == (True, 0.95, 0)


@pytest.mark.parametrize("missing", [("pad_token",), ("bos_token",), ("pad_token", "bos_token", "unk_token")])
def test_tokenizers_without_some_special_tokens(missing, tmp_path):
    tokenizer = tiny_models.build_tiny_tokenizer()
    for name in missing:
        setattr(tokenizer, name, None)
    base = save_base(tmp_path / "base", tokenizer=tokenizer)
    generator = Generator.create(GeneratorArguments(generator=base), PAIR, PAIR_ROWS, label_initialization="bos")
    samples = samples_of(generator, PAIR_ROWS)
    before = generator.nll(samples)
    generator.save_pretrained(tmp_path / "out")
    loaded = Generator.load(str(tmp_path / "out"), GeneratorArguments())
    assert torch.equal(loaded.nll(samples), before)
    assert len(loaded.sample(2, 0, 1)) == chunk_size(0)


def test_tokenizer_without_end_token_is_an_error(tmp_path):
    tokenizer = tiny_models.build_tiny_tokenizer()
    tokenizer.eos_token = None
    base = save_base(tmp_path, tokenizer=tokenizer)
    with pytest.raises(UserError, match="eos_token"):
        Generator.create(GeneratorArguments(generator=base), SINGLE, SINGLE_ROWS)


def test_texts_longer_than_the_positions_are_an_error(tmp_path):
    base = save_base(tmp_path, n_positions=20)
    with pytest.raises(UserError, match="--max_length 18") as error:
        Generator.create(GeneratorArguments(generator=base), SINGLE, SINGLE_ROWS)
    assert "\n" not in str(error.value)
    generator = Generator.create(GeneratorArguments(generator=base), SINGLE, SINGLE_ROWS, max_length=18)
    assert len(generator.sample(0, 0, 1)) == chunk_size(0)


def test_tiny_generator_from_the_text_of_the_task():
    arguments = GeneratorArguments(generator_config="tiny")
    generator = Generator.create(arguments, PAIR, PAIR_ROWS, seed=3)
    assert [p for p in Generator.create(arguments, PAIR, PAIR_ROWS, seed=3).model.parameters()][0].equal(
        next(generator.model.parameters())
    )
    other = Generator.create(arguments, PAIR, PAIR_ROWS, seed=4)
    assert not next(other.model.parameters()).equal(next(generator.model.parameters()))
    for row in PAIR_ROWS:
        assert generator.format.decode(generator.format.encode(row, 0).target) == row


@pytest.mark.parametrize("arguments", [{}, {"generator": "x", "generator_config": "tiny"}])
def test_exactly_one_generator_is_named(arguments):
    with pytest.raises(UserError, match="--generator"):
        Generator.create(GeneratorArguments(**arguments), SINGLE, SINGLE_ROWS)


def test_loading_what_is_no_generator_is_an_error(tmp_path):
    save_base(tmp_path)
    with pytest.raises(UserError, match=FORMAT_FILE):
        Generator.load(str(tmp_path), GeneratorArguments())
    with pytest.raises(UserError, match="no-such"):
        Generator.load(str(tmp_path / "no-such"), GeneratorArguments())
    with pytest.raises(UserError, match="no-such"):
        Generator.create(GeneratorArguments(generator=str(tmp_path / "no-such")), SINGLE, SINGLE_ROWS)


def test_another_task_is_an_error(tmp_path):
    generator = make_generator(tmp_path)
    generator.check_task(SINGLE)
    for other in (PAIR, TaskSpec(name="t", text_columns=("text",), label_names=("positive", "negative"))):
        with pytest.raises(UserError, match="pretrained for labels"):
            generator.check_task(other)


# peft reads a property of the model that transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_lora_trains_and_saves_a_merged_checkpoint(architecture, tmp_path):
    pytest.importorskip("peft")
    base = save_base(tmp_path / "base", tiny_models.CAUSAL_BUILDERS[architecture])
    arguments = GeneratorArguments(generator=base, use_peft=True, lora_r=4, lora_dropout=0.0)
    generator = Generator.create(arguments, SINGLE, SINGLE_ROWS)
    trainable = {name for name, p in generator.model.named_parameters() if p.requires_grad}
    assert trainable and all("lora" in n or "trainable_tokens" in n for n in trainable)
    samples = samples_of(generator)
    start = generator.nll(samples).mean()
    train_a_little(generator, steps=5)
    trained = generator.nll(samples)
    assert trained.mean() < start - 0.1
    generator.save_pretrained(tmp_path / "out")
    assert torch.equal(generator.nll(samples), trained), "saving leaves the adapters alone"

    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert not [k for k in file.keys() if "lora" in k or "base_layer" in k or "token_adapter" in k]
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert plain.config.vocab_size == len(generator.tokenizer)
    loaded = Generator.load(str(tmp_path / "out"), GeneratorArguments())
    torch.testing.assert_close(loaded.nll(samples), trained, rtol=1e-4, atol=1e-4)


def test_end_token_never_stands_for_unknown_tokens(tmp_path):
    """GPT-2's unknown token is its end token; a held-out word must not end the text."""
    tokenizer = tiny_models.build_tiny_tokenizer()
    tokenizer.unk_token = tokenizer.eos_token
    arguments = GeneratorArguments(generator=save_base(tmp_path, tokenizer=tokenizer))
    generator = Generator.create(arguments, SINGLE, [("the film",)])
    assert generator.format.is_covered(("the film",))
    assert not generator.format.is_covered(("zebra quartz",))
    assert generator.format.encode(("zebra quartz",), 0).target.count(generator.format.eos) == 1


@pytest.mark.parametrize("number", [0, 1, 16, 17, 32, 64, 65, 128, 129, 640])
def test_chunks_hold_what_is_asked_for_and_less_than_a_chunk_more(number):
    sizes = [chunk_size(chunk) for chunk in range(num_chunks(number))]
    assert sum(sizes) >= number and sum(sizes[:-1]) < max(number, 1)
    assert sizes[: len(CHUNK_SIZES)] == list(CHUNK_SIZES[: len(sizes)]) and set(sizes[4:]) <= {64}

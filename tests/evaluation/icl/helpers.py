# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The plain way to score labels and to generate, which the fast way must equal, and tokenizers of several families."""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ddg_hf.evaluation.icl import PromptTemplate
from tests.tiny_models import CAUSAL_BUILDERS, SENTENCES

TEMPLATE = PromptTemplate("Classify each review.", ("Review",), "Sentiment", ("negative", "positive"))
DEMONSTRATIONS = [((sentence,), i % 2) for i, sentence in enumerate(SENTENCES[:4])]
QUERIES = [TEMPLATE.query((text,)) for text in (*SENTENCES[4:9], "a", "dull", "", SENTENCES[4] + SENTENCES[5])]


def make_model(family, tokenizer, **overrides):
    """A tiny model with room for a few demonstrations."""
    length = {"n_positions": 640} if family == "gpt2" else {"max_position_embeddings": 640}
    return CAUSAL_BUILDERS[family](len(tokenizer), **(length | overrides))


@torch.no_grad()
def uncached_score_labels(model, tokenizer, prefix, queries, continuations, terminator="\n\n", terminated=False):
    """One prompt and one label at a time, no cache; the terminating token is scored if `terminated`."""
    scores_QK = np.zeros((len(queries), len(continuations)))
    for i, query in enumerate(queries):
        start = len(tokenizer(prefix + query)["input_ids"])
        for k, continuation in enumerate(continuations):
            text = prefix + query + continuation
            end = len(tokenizer(text)["input_ids"]) + terminated
            ids = tokenizer(text + terminator)["input_ids"][:end]
            logprobs = model(torch.tensor([ids])).logits.float().log_softmax(-1)[0]
            scores_QK[i, k] = sum(logprobs[t - 1, ids[t]].item() for t in range(start, end))
    return scores_QK


@torch.no_grad()
def uncached_generate(model, tokenizer, prompt, max_new_tokens):
    """Greedy answer, one forward of the whole text per token."""
    ids = tokenizer(prompt)["input_ids"]
    new = []
    while len(new) < max_new_tokens:
        token = int(model(torch.tensor([ids + new])).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        new.append(token)
        if "\n" in tokenizer.decode(new, skip_special_tokens=True):
            break
    return tokenizer.decode(new, skip_special_tokens=True).split("\n")[0].strip()


def with_bos(tokenizer):
    """The tokenizer, as Llama's and Gemma's do it, with BOS at the beginning; and, as a few do, EOS at the end."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return tokenizer


def _fast(tokenizer):
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def _train(tokenizer, texts, **options):
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False, **options)
    tokenizer.train_from_iterator(texts, trainer)
    return _fast(tokenizer)


def metaspace_tokenizer(prepend="first"):
    """In the style of SentencePiece: a space belongs to the word behind it, and the first word gets one."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=prepend)
    return _train(tokenizer, [TEMPLATE.prefix(DEMONSTRATIONS[:1]), *SENTENCES], max_token_length=6)


def joining_tokenizer():
    """Joins the empty line between two blocks with the words around it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.Fuse()
    characters = sorted(set(TEMPLATE.prefix(DEMONSTRATIONS) + "".join(QUERIES)))
    return _train(tokenizer, ["\n\nReview: a warm"] * 9, initial_alphabet=characters)


def splitting_tokenizer():
    """Whole words, each with the space before it: `Sentiment` and `: positive` in one piece."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    tokenizer.decoder = decoders.Fuse()
    characters = sorted(set(TEMPLATE.prefix(DEMONSTRATIONS) + "".join(QUERIES)))
    return _train(tokenizer, ["Sentiment: positive"] * 9, initial_alphabet=characters)

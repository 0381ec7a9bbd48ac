# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Argument dataclasses that the recipes share, and the parser that fills them from YAML and the command line."""

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from . import terminal
from .errors import UserError, closest


def _split(value: str | list[str] | None) -> list[str] | None:
    """Accepts `a,b` from the command line as well as a YAML list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


@dataclass
class DataArguments:
    """
    Which data set to use: a registered task, or any other labelled text data set.

    Parameters:
        task (`str`, *optional*):
            Name of a registered task (`sst2`, `mnli`, `banking77`, ... or `toy`).
        data_dir (`str`, *optional*):
            Directory that holds `<task>/{train,validation,test}.parquet`. Without it the task comes from the Hub.
        dataset (`str`, *optional*):
            Hub id, directory, or Parquet/CSV/TSV/JSON/JSONL file of a data set that is not a registered task.
        text_columns (`str`, *optional*):
            Text columns of `dataset`, comma-separated, in the order in which they are written.
        label_column (`str`, *optional*):
            Label column of `dataset`. Defaults to `label`.
        label_names (`str`, *optional*):
            Label names of `dataset` in the order of the ids, comma-separated. Taken from the data where it has them.
        split_seed (`int`, *optional*):
            Seed of the validation rows that are set aside where the data set has no validation split. That of the run
            by default; runs with several seeds that are compared need a common one.
    """

    task: str | None = field(default=None, metadata={"help": "Name of a registered task, e.g. sst2 or toy."})
    data_dir: str | None = field(
        default=None, metadata={"help": "Directory with <task>/{train,validation,test}.parquet (default: the Hub)."}
    )
    dataset: str | None = field(
        default=None, metadata={"help": "Hub id, directory or file of a data set that is not a registered task."}
    )
    text_columns: str | None = field(
        default=None, metadata={"help": "Text columns of --dataset, comma-separated, in order."}
    )
    label_column: str | None = field(default=None, metadata={"help": "Label column of --dataset (default: label)."})
    label_names: str | None = field(
        default=None, metadata={"help": "Label names of --dataset in the order of the ids, comma-separated."}
    )
    split_seed: int | None = field(
        default=None, metadata={"help": "Seed of validation rows that are set aside (default: that of the run)."}
    )

    def __post_init__(self):
        self.text_columns = _split(self.text_columns)
        self.label_names = _split(self.label_names)

    def load(self, seed: int = 42):
        """Returns `(TaskSpec, DatasetDict)`; see [`~ddg_hf.data.loading.load_data`]."""
        from .data.loading import load_data

        values = dataclasses.asdict(self)
        split_seed = values.pop("split_seed")
        return load_data(**values, seed=seed if split_seed is None else split_seed)


@dataclass
class ModelArguments:
    """
    How the main model of a recipe (the generator, or the ICL model) is loaded.

    Parameters:
        dtype (`str`, *optional*, defaults to `"float32"`):
            Type of the weights: `float32`, `bfloat16`, `float16`, or `auto` for the type of the checkpoint. For mixed
            precision training keep `float32` and pass `--bf16`.
        attn_implementation (`str`, *optional*):
            Attention implementation (`eager`, `sdpa`, `flash_attention_2`, ...).
        revision (`str`, *optional*, defaults to `"main"`):
            Branch, tag or commit of the model on the Hub.
        use_peft (`bool`, *optional*, defaults to `False`):
            Train LoRA adapters instead of all weights (needs `peft`).
        lora_r (`int`, *optional*, defaults to `16`): Rank of the adapters.
        lora_alpha (`int`, *optional*, defaults to `32`): Scale of the adapters.
        lora_dropout (`float`, *optional*, defaults to `0.05`): Dropout of the adapters.
        lora_target_modules (`str`, *optional*):
            Modules that get adapters, comma-separated; `all-linear` for every linear layer. PEFT's choice by default.
        load_in_4bit (`bool`, *optional*, defaults to `False`):
            Load the weights in 4 bit (needs `bitsandbytes`); for training only with `use_peft`.
        bnb_4bit_quant_type (`str`, *optional*, defaults to `"nf4"`): `nf4` or `fp4`.
    """

    dtype: str = field(
        default="float32",
        metadata={"help": "Type of the weights.", "choices": ["auto", "float32", "bfloat16", "float16"]},
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "Attention implementation: eager, sdpa, flash_attention_2, ..."}
    )
    revision: str = field(default="main", metadata={"help": "Branch, tag or commit of the model on the Hub."})
    use_peft: bool = field(default=False, metadata={"help": "Train LoRA adapters instead of all weights."})
    lora_r: int = field(default=16, metadata={"help": "Rank of the LoRA adapters."})
    lora_alpha: int = field(default=32, metadata={"help": "Scale of the LoRA adapters."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout of the LoRA adapters."})
    lora_target_modules: str | None = field(
        default=None, metadata={"help": "Modules that get adapters, comma-separated, or all-linear."}
    )
    load_in_4bit: bool = field(default=False, metadata={"help": "Load the weights in 4 bit (bitsandbytes)."})
    bnb_4bit_quant_type: str = field(
        default="nf4", metadata={"help": "4-bit quantization type.", "choices": ["nf4", "fp4"]}
    )


@dataclass
class GeneratorArguments(ModelArguments):
    """
    The generator. The fields of [`ModelArguments`] describe it.

    Parameters:
        generator (`str`, *optional*):
            Hub id or directory of a causal language model, or of a generator that `pretrain` or `distill` wrote.
        generator_config (`str`, *optional*):
            `tiny` trains a small model with random weights and its own tokenizer on the text of the task.
    """

    generator: str | None = field(
        default=None, metadata={"help": "Hub id or directory of a causal language model or of a trained generator."}
    )
    generator_config: str | None = field(
        default=None,
        metadata={"help": "'tiny': a small model and tokenizer made from the task's text.", "choices": ["tiny"]},
    )


@dataclass
class LearnerArguments:
    """
    The learner: the text classifier whose gradients are matched, or that is trained on a distilled set.

    Parameters:
        learner (`str`, *optional*, defaults to `"bert-base-uncased"`):
            Hub id or directory of an encoder, or a small one with random weights: `tiny` (of the type of BERT),
            `tiny-roberta`, `tiny-xlnet` or `tiny-deberta`.
        learner_revision (`str`, *optional*, defaults to `"main"`): Branch, tag or commit on the Hub.
        learner_dtype (`str`, *optional*, defaults to `"float32"`): Type of the weights.
        learner_attn_implementation (`str`, *optional*): Attention implementation.
        learner_max_length (`int`, *optional*, defaults to `128`): Longest input, in tokens.
        learner_head (`str`, *optional*):
            Modules of the classification head, comma-separated dotted names (`pre_classifier,classifier`). Needed only
            where they are not simply all modules outside the base model.
    """

    learner: str = field(
        default="bert-base-uncased",
        metadata={"help": "Hub id or directory of an encoder, or 'tiny' (tiny-roberta, ...)."},
    )
    learner_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of the learner."})
    learner_dtype: str = field(
        default="float32", metadata={"help": "Type of the learner's weights.", "choices": ["float32", "bfloat16"]}
    )
    learner_attn_implementation: str | None = field(
        default=None, metadata={"help": "Attention implementation of the learner."}
    )
    learner_max_length: int = field(default=128, metadata={"help": "Longest input of the learner, in tokens."})
    learner_head: str | None = field(
        default=None,
        metadata={"help": "Modules of the learner's head, comma-separated (default: all outside its base model)."},
    )

    def __post_init__(self):
        self.learner_head = _split(self.learner_head)


@dataclass
class ICLModelArguments(ModelArguments):
    """
    The language model that is shown the demonstrations. The fields of [`ModelArguments`] describe it.

    Parameters:
        model (`str`, *optional*, defaults to `"Qwen/Qwen2.5-0.5B"`):
            Hub id or directory of a causal language model, or a short name of LongICLBench such as `qwen` or `mistral`
            ([`~ddg_hf.models.names.SHORT_NAMES`]). With a server, the name that it knows the model by.
    """

    model: str = field(
        default="Qwen/Qwen2.5-0.5B",
        metadata={
            "help": "Hub id or directory of a causal language model, or a short name: qwen, mistral, gemma, yi, ...",
            "aliases": ["-m"],
        },
    )


@dataclass
class RunArguments:
    """
    What every stage that is not a training stage takes.

    Parameters:
        output_dir (`str`): Where the results go.
        overwrite (`bool`, *optional*, defaults to `False`): Replace a finished run in `output_dir`.
        seed (`int`, *optional*, defaults to `42`): Seed of everything random in the stage.
    """

    output_dir: str | None = field(default=None, metadata={"help": "Where the results go."})
    overwrite: bool = field(default=False, metadata={"help": "Replace a finished run in output_dir."})
    seed: int = field(default=42, metadata={"help": "Seed of everything random in this stage."})


class RecipeParser(HfArgumentParser):
    """
    [`~transformers.HfArgumentParser`] with `--config FILE.yaml`: values of the file become defaults, so the command
    line wins. Unknown keys and flags are errors that name the closest field.
    """

    def __init__(self, dataclass_types, **kwargs):
        super().__init__(dataclass_types, allow_abbrev=False, **kwargs)
        self.add_argument("--config", default=None, help="YAML file with values for any of these options.")
        terminal.add_options(self)

    def error(self, message: str):
        raise UserError(message)

    def parse(self, argv: list[str] | None = None) -> tuple[Any, ...]:
        """
        Parses `argv` (default: `sys.argv[1:]`) into one instance of each dataclass.

        Raises:
            UserError: on an unknown key or flag, a value of the wrong type, or an unreadable YAML file.
        """
        namespace = self._namespace(list(sys.argv[1:] if argv is None else argv))
        return tuple(self._build(cls, namespace) for cls in self.dataclass_types)

    def check(self, argv: list[str]) -> None:
        """
        Raises what [`parse`] raises, for a command that is run later, by another process. Values of training arguments
        are not looked at beyond their type: with these the process would take a device.
        """
        from transformers import TrainingArguments

        namespace = self._namespace(list(argv))
        for cls in self.dataclass_types:
            if not issubclass(cls, TrainingArguments):
                self._build(cls, namespace)

    def _namespace(self, argv: list[str]):
        """The values of all options, those of a YAML file included."""
        fields = {f.name for cls in self.dataclass_types for f in dataclasses.fields(cls) if f.init}
        config = self._config_path(argv)
        if config is not None:
            values = load_yaml(config)
            for key in values:
                if key not in fields:
                    raise UserError(f"{config}: unknown key '{key}'.{closest(str(key), fields)}")
            # As flags before the command line's own, so that types and choices are checked and the last one wins.
            argv = self._as_flags(values) + argv
        namespace, unknown = self.parse_known_args(argv)
        if unknown:
            flag = unknown[0].lstrip("-").split("=")[0]
            # Without its value, which may be a key.
            name = unknown[0].split("=")[0]
            options = {*fields, "config", *(option.lstrip("-") for option in terminal.OPTIONS)}
            raise UserError(f"unknown argument '{name}'.{closest(flag.replace('-', '_'), options)}")
        return namespace

    def _as_flags(self, values: dict[str, Any]) -> list[str]:
        """YAML values as command-line flags."""
        takes_many = {action.dest for action in self._actions if action.nargs == "+"}
        flags = []
        for key, value in values.items():
            if value is None:
                continue
            if isinstance(value, list) and key in takes_many:
                flags += [f"--{key}", *map(str, value)]
            elif isinstance(value, list):
                flags.append(f"--{key}={','.join(map(str, value))}")
            elif isinstance(value, dict):
                flags.append(f"--{key}={json.dumps(value)}")
            else:
                flags.append(f"--{key}={value}")
        return flags

    @staticmethod
    def _config_path(argv: list[str]) -> str | None:
        for i, argument in enumerate(argv):
            if argument.startswith("--config="):
                return argument.split("=", 1)[1]
            if argument == "--config":
                if i + 1 == len(argv):
                    raise UserError("--config needs the path of a YAML file")
                return argv[i + 1]
        return None

    @staticmethod
    def _build(cls, namespace):
        values = {f.name: getattr(namespace, f.name) for f in dataclasses.fields(cls) if f.init}
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise UserError(" ".join(str(error).split())) from error


def load_yaml(path: str) -> dict[str, Any]:
    """Reads a YAML mapping. Raises `UserError` if the file is missing, not YAML, or not a mapping."""
    if not Path(path).is_file():
        raise UserError(f"config file '{path}' does not exist")
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold `key: value` lines, found a {type(values).__name__}")
    return values

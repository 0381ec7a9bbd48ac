# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the in-context evaluation."""

from dataclasses import dataclass, field
from typing import ClassVar

from ddg_hf.errors import UserError
from ddg_hf.evaluation.arguments import KINDS, DemonstrationArguments

from .protocol import parse_context_length
from .templates import read_template


@dataclass
class ICLEvaluationArguments(DemonstrationArguments):
    """
    Which demonstrations are shown, to which queries, in what words, and how the answers are read. The fields of
    [`~ddg_hf.evaluation.arguments.DemonstrationArguments`] describe the demonstrations and the queries;
    `demonstrations` may also be `zero_shot`, or rows of the training split that are retrieved for each query: `bm25`
    (by the words that they share) or `topk` (by the embeddings of `--learner`). `dpc` of training rows defaults to
    `rounds`.

    Parameters:
        rounds (`int`, *optional*, defaults to `dpc`):
            Demonstrations per class that the prompt shows, one of each class in each round.
        orders (`int`, *optional*, defaults to `1`):
            In how many orders each set is shown.
        order_by (`str`, *optional*, defaults to `"interleaved"`):
            `interleaved` shows one row of each class in each round; `sorted` all rows of a class together.
        scoring (`str`, *optional*, defaults to `"likelihood"`):
            `likelihood` compares the probabilities of the label words, raw and calibrated; `argmax` finds the most
            likely label without those of the others, which is faster where there are many; `generate` lets the model
            write and compares the first line with the label words.
        constrained (`bool`, *optional*, defaults to `False`):
            With `generate`: the model can write nothing but label words.
        context_length (`str`, *optional*):
            Greatest length of a prompt with its answer in tokens, such as `4096` or `4k`; as many whole rounds as fit
            are shown. By default the model's own, which all rounds must fit.
        truncate_demonstrations (`bool`, *optional*, defaults to `False`):
            Show fewer rounds where not all fit into the model's context, and say how many, instead of an error.
        instruct (`bool`, *optional*, defaults to `False`): List the labels in the instruction.
        instruction (`str`, *optional*): First line of the prompt instead of the task's; none if empty.
        prompt_template (`str`, *optional*):
            Jinja2 template of a demonstration, or a file with one; see
            [`~ddg_hf.evaluation.icl.prompts.PromptTemplate`].
        chat (`str`, *optional*, defaults to `"none"`):
            How the model's chat template is used: not at all (`none`), the whole prompt as one message (`user`), or
            each demonstration as a message and its answer (`turns`).
        token_budget (`int`, *optional*, defaults to `16384`):
            Greatest number of tokens in the cache at once beside the shared prefix. Lower it when memory runs out.
        base_url (`str`, *optional*):
            Address of an OpenAI-compatible server that runs the model, such as `http://localhost:8000/v1`.
        api_key (`str`, *optional*):
            Key of the server; by default that of the environment variable `OPENAI_API_KEY`. It is not recorded.
        concurrency (`int`, *optional*, defaults to `8`): Requests to the server at a time.
        max_retries (`int`, *optional*, defaults to `5`): How often a request that fails is sent again.
        timeout (`float`, *optional*, defaults to `60.0`): Seconds to wait for the answer to a request.
        vllm (`bool`, *optional*, defaults to `False`): Run the model with vLLM in this process.

    Raises:
        UserError: a value that is out of range, or options that exclude each other.
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    demonstrations: str | None = field(
        default=None,
        metadata={"help": f"{', '.join(KINDS)}, or as --distilled (default: balanced without --distilled)."},
    )
    rounds: int | None = field(
        default=None,
        metadata={"help": "Demonstrations per class in the prompt (default: dpc).", "aliases": ["--round"]},
    )
    orders: int = field(default=1, metadata={"help": "In how many orders each set is shown."})
    order_by: str = field(
        default="interleaved",
        metadata={
            "help": "One row of each class after the other, or class by class.",
            "choices": ["interleaved", "sorted"],
        },
    )
    scoring: str = field(
        default="likelihood",
        metadata={"help": "How the answer is read.", "choices": ["likelihood", "argmax", "generate"]},
    )
    constrained: bool = field(
        default=False, metadata={"help": "With --scoring generate: nothing but label words can be written."}
    )
    context_length: str | None = field(
        default=None,
        metadata={
            "help": "Tokens of a prompt with its answer, e.g. 4096 or 4k; shows the rounds that fit.",
            "aliases": ["-c"],
        },
    )
    truncate_demonstrations: bool = field(
        default=False, metadata={"help": "Drop whole rounds that do not fit into the model's context."}
    )
    instruct: bool = field(default=False, metadata={"help": "List the labels in the instruction."})
    instruction: str | None = field(
        default=None, metadata={"help": "First line of the prompt (default: the task's; '' for none)."}
    )
    prompt_template: str | None = field(
        default=None,
        metadata={
            "help": "Jinja2 template of a demonstration, or a file with one, e.g. '{{ text }} => {{ label }}\\n'."
        },
    )
    chat: str = field(
        default="none",
        metadata={
            "help": "Use of the model's chat template: the prompt as one message, or demonstrations as turns.",
            "choices": ["none", "user", "turns"],
        },
    )
    token_budget: int = field(
        default=16384, metadata={"help": "Greatest number of tokens in the cache at once; lower it to save memory."}
    )
    base_url: str | None = field(
        default=None, metadata={"help": "OpenAI-compatible server that runs the model, e.g. http://localhost:8000/v1."}
    )
    api_key: str | None = field(
        default=None,
        repr=False,
        metadata={"help": "Key of the server (default: the variable OPENAI_API_KEY).", "aliases": ["-k"]},
    )
    concurrency: int = field(default=8, metadata={"help": "Requests to the server at a time."})
    max_retries: int = field(default=5, metadata={"help": "How often a failed request is sent again."})
    timeout: float = field(default=60.0, metadata={"help": "Seconds to wait for the answer to a request."})
    vllm: bool = field(default=False, metadata={"help": "Run the model with vLLM in this process."})

    @property
    def drops_rounds(self) -> bool:
        """Whether rounds that do not fit are left out; otherwise they are an error."""
        return self.truncate_demonstrations or self.context_length is not None

    def __post_init__(self):
        super().__post_init__()
        for name in ("rounds", "orders", "token_budget", "concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} must be at least 1, got {value}")
        if self.max_retries < 0:
            raise UserError(f"--max_retries must be at least 0, got {self.max_retries}")
        if not 0 < self.timeout < float("inf"):
            raise UserError(f"--timeout must be a positive number of seconds, got {self.timeout}")
        if self.context_length is not None:
            self.context_length = parse_context_length(self.context_length)
        if self.prompt_template is not None:
            self.prompt_template = read_template(self.prompt_template)
        if self.constrained and self.scoring != "generate":
            raise UserError(f"--constrained goes with --scoring generate, not with {self.scoring}")
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise UserError("--base_url must begin with http:// or https://")
        if self.base_url is not None and self.vllm:
            raise UserError("--base_url and --vllm exclude each other: give one of them")

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of a study."""

import json
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError, closest
from ..models.names import resolve_model
from .methods import Method, method_named

STAGES = ("pretrain", "distill", "generate", "select", "rerank", "measure", "evaluate-icl", "evaluate-learner")
_SECRETS = ("api_key", "hub_token", "k")
_DEFAULT_METHODS = ("zero_shot", "balanced", "k_centers", "lm_only", "dilm", "ddg")


@dataclass
class StudyArguments:
    """
    What is compared with what, and how often.

    Parameters:
        methods (`list[str]`, *optional*, defaults to zero-shot, balanced, K-centers, LM only, DiLM and DDG):
            Names of methods ([`~ddg_hf.study.methods.METHODS`], the names in `given`, and both kinds of sets with
            `+likelihood` at the end: each set is then the best of `likelihood_candidates`).
        dpc (`list[int]`, *optional*, defaults to `[5]`): Demonstrations per class.
        generator (`str`): Hub id or directory of the language model that becomes the generator, or `tiny`.
        learner (`str`, *optional*, defaults to `"bert-base-uncased"`):
            Learner: matches gradients, embeds rows, and is trained on the sets.
        unseen_learners (`list[str]`, *optional*):
            More classifiers to train on the sets, which the distillation has not seen.
        model (`str`, *optional*, defaults to `"Qwen/Qwen2.5-0.5B"`): In-context model: id, directory or short name.
        num_sets (`int`, *optional*, defaults to `5`): Sets of a method; of a trained method, for each training seed.
        set_counts (`dict`, *optional*): Other numbers of sets, by method: `{ddg: 10, balanced: 30}`.
        training_seeds (`int`, *optional*, defaults to `1`): Generators trained for a method.
        seed_counts (`dict`, *optional*): Other numbers of training seeds, by method.
        given (`dict`, *optional*):
            Sets that were made elsewhere: name to directory or Hub id. Each is compared like a method of that name.
        split (`str`, *optional*, defaults to `"validation"`): Split of the queries.
        test_number (`int`, *optional*): Number of queries, classes as equal as possible (default: the whole split).
        learner_test_number (`int`, *optional*): Test rows of the classifiers (default: as `test_number`).
        learner_sets (`int`, *optional*):
            The first so many sets of each training seed are training data of classifiers (default: all).
        learner_dpc (`list[int]`, *optional*): Rows per class of these sets (default: as `dpc`).
        candidates_per_class (`int`, *optional*, defaults to `500`):
            Training rows of each class that `herding` and `generator_loss` choose from, drawn anew for each set:
            without that every set would be the same.
        likelihood_candidates (`int`, *optional*, defaults to `4`): Sets of which `+likelihood` keeps one.
        likelihood_queries (`int`, *optional*, defaults to `64`): Validation rows that they are compared on.
        options (`dict`, *optional*): More options of the commands, by command: `{pretrain: {max_steps: 300}}`.
        rates (`dict`, *optional*):
            Seconds that a `query`, a `pretrain_step`, a `distill_step`, a `text_per_class` that is sampled (one text
            for each class) or a `learner_step` takes, for the estimate of the plan. What has been run tells better.
        num_workers (`int`, *optional*, defaults to `1`): Commands that run at the same time.
        plan (`bool`, *optional*, defaults to `False`):
            Print the plan, and run nothing. Of a study that was started, the results of what is done are written.

    Raises:
        UserError: an unknown method or command, or a value that is out of range.
    """

    methods: list[str] = field(
        default_factory=lambda: list(_DEFAULT_METHODS), metadata={"help": "Methods to compare, e.g. zero_shot ddg."}
    )
    dpc: list[int] = field(default_factory=lambda: [5], metadata={"help": "Demonstrations per class."})
    generator: str | None = field(
        default=None, metadata={"help": "Hub id or directory of the generator's language model, or 'tiny'."}
    )
    learner: str = field(
        default="bert-base-uncased", metadata={"help": "Hub id or directory of the learner, or 'tiny'."}
    )
    unseen_learners: list[str] | None = field(
        default=None, metadata={"help": "More classifiers to train on the sets: ids, directories, tiny-roberta, ..."}
    )
    model: str = field(
        default="Qwen/Qwen2.5-0.5B",
        metadata={"help": "In-context model: id, directory or short name.", "aliases": ["-m"]},
    )
    num_sets: int = field(default=5, metadata={"help": "Sets of a method, for each training seed."})
    set_counts: dict | str | None = field(
        default=None, metadata={"help": "Other numbers of sets, by method, as JSON: '{\"ddg\": 10}'."}
    )
    training_seeds: int = field(default=1, metadata={"help": "Generators trained for a method."})
    seed_counts: dict | str | None = field(
        default=None, metadata={"help": "Other numbers of training seeds, by method, as JSON."}
    )
    given: dict | str | None = field(
        default=None, metadata={"help": "Sets made elsewhere, as JSON: name to directory or Hub id."}
    )
    split: str = field(default="validation", metadata={"help": "Split of the queries."})
    test_number: int | None = field(default=None, metadata={"help": "Number of queries (default: the whole split)."})
    learner_test_number: int | None = field(
        default=None, metadata={"help": "Test rows of the classifiers (default: as test_number)."}
    )
    learner_sets: int | None = field(
        default=None, metadata={"help": "The first so many sets train classifiers (default: all)."}
    )
    learner_dpc: list[int] | None = field(
        default=None, metadata={"help": "Rows per class of sets that train classifiers (default: as dpc)."}
    )
    candidates_per_class: int = field(
        default=500, metadata={"help": "Training rows of each class that deterministic selections choose from."}
    )
    likelihood_candidates: int = field(default=4, metadata={"help": "Sets of which '+likelihood' keeps one."})
    likelihood_queries: int = field(
        default=64, metadata={"help": "Validation rows on which '+likelihood' compares sets."}
    )
    options: dict | str | None = field(
        default=None, metadata={"help": "More options of the commands, as JSON: command to options."}
    )
    rates: dict | str | None = field(
        default=None, metadata={"help": "Seconds per query, pretrain_step, distill_step, ..., as JSON."}
    )
    num_workers: int = field(default=1, metadata={"help": "Commands that run at the same time."})
    plan: bool = field(
        default=False, metadata={"help": "Run nothing: print the plan; print and write the results so far."}
    )

    def __post_init__(self):
        for name in ("set_counts", "seed_counts", "given", "options", "rates"):
            setattr(self, name, _mapping(name, getattr(self, name)))
        self.methods = [*self.methods, *(name for name in self.given if name not in self.methods)]
        for name in (
            "num_sets training_seeds candidates_per_class likelihood_candidates likelihood_queries num_workers".split()
        ):
            _check_count(f"--{name}", getattr(self, name))
        for name in ("test_number", "learner_test_number", "learner_sets"):
            if getattr(self, name) is not None:
                _check_count(f"--{name}", getattr(self, name))
        for name in ("dpc", "learner_dpc"):
            values = getattr(self, name)
            if values is not None and (not values or min(values) < 1 or len(set(values)) < len(values)):
                raise UserError(f"--{name} must be one or more different positive numbers, got {values}")
        if len(set(self.methods)) < len(self.methods) or not self.methods:
            raise UserError(f"--methods must be one or more different names, got {', '.join(self.methods)}")
        unknown = sorted(set(self.learner_dpc or ()) - set(self.dpc))
        if unknown:
            raise UserError(f"--learner_dpc {unknown[0]} is not one of --dpc {' '.join(map(str, self.dpc))}")
        for stage, given in self.options.items():
            if stage not in STAGES:
                raise UserError(f"--options: no command '{stage}'.{closest(stage, STAGES)}")
            if not isinstance(given, dict):
                raise UserError(f"--options: {stage} must be a mapping of options to values")
            for option in given:
                if option in _SECRETS:  # it would be in the plan, in logs and on the command lines
                    raise UserError(f"--options: {stage}: {option} does not belong into a study; use the environment")
        if not self.model:
            raise UserError("--model is missing: name the language model that is shown the sets")
        if self.options.get("evaluate-icl", {}).get("base_url") is None:  # a server has names of its own
            self.model = resolve_model(self.model)
        self.chosen = [method_named(name, self.given) for name in self.methods]
        self._check_counts()
        distill = self.options.get("distill", {})
        if self.split == "validation" and distill.get("validation_sets") and distill.get("load_best_model_at_end"):
            raise UserError(
                "distill chooses its checkpoint by validation rows, which cannot be test rows as well; pass --split "
                "test"
            )
        if self.split == "validation" and any(method.reranked for method in self.chosen):
            raise UserError(
                "'+likelihood' chooses sets by the labels of validation rows, which cannot be test rows as well; pass "
                "--split test"
            )

    def _check_counts(self) -> None:
        """Raises `UserError` if a number of sets or seeds has no effect. Methods that are left out may have one."""
        for name in ("set_counts", "seed_counts"):
            for method, count in getattr(self, name).items():
                _check_count(f"--{name}: {method}", count)
                known = method_named(method, self.given)
                if name == "seed_counts" and not known.is_seeded:
                    raise UserError(f"--seed_counts: nothing is trained for '{method}'; leave it out")
                if name == "set_counts" and known.kind in ("none", "retrieved"):
                    raise UserError(f"--set_counts: '{method}' has no sets to count; leave it out")

    def number(self, stage: str, option: str, default: float) -> float:
        """A number among the options of a command. Raises `UserError` if it is none."""
        value = self.options.get(stage, {}).get(option, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"--options: {stage}: {option} must be a number, got {value!r}")
        return value

    def sets_of(self, method: Method) -> int:
        """Number of sets of a method, for each training seed."""
        return self.set_counts.get(method.name, self.num_sets)

    def seeds_of(self, method: Method) -> int:
        """Number of training seeds of a method; 1 if nothing is trained."""
        return self.seed_counts.get(method.name, self.training_seeds) if method.is_seeded else 1


def _mapping(name: str, value: dict | str | None) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UserError(f"--{name} is not JSON: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"--{name} must be a mapping of names to values, got {value!r}")
    return value


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} must be a number of at least 1, got {value!r}")

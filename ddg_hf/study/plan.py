# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The grid of a study: which commands there are to run, and what each of them needs."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..configs import DataArguments
from ..errors import UserError
from .config import StudyArguments
from .methods import Method
from .sources import GivenSets, content_fingerprint

# Kinds of `select` that are the same for all sets unless each has candidates of its own.
_DETERMINISTIC = ("herding", "generator_loss")
# Options that say where something is, not what: its content is compared.
_MODELS = ("generator", "learner", "model")
_PLACES = (*_MODELS, "data_dir", "distilled")
# Candidates of a method with `+likelihood` are not the sets of the method without it.
_CANDIDATE_SEED = 100_000
# Of `evaluate-icl`, and nothing to the sets that `rerank` compares: each of them is scored once.
_HOW_ANSWERS_ARE_READ = ("scoring", "orders")
# Of `distill`; they do nothing where the student is the learner itself.
_EMA_OPTIONS = ("ema_decay", "student_head")


@dataclass(frozen=True)
class Cell:
    """
    One command of a study.

    Attributes:
        name: Where its output goes, below `cells/`.
        stage: The command.
        options: Its options; `None` for those that are left out.
        inputs: Options whose value is the output of another cell: option to name of the cell.
        method: The method that it belongs to, or `None` if several need it.
        seed: Number of the training seed, 0 for the first one and where nothing is trained.
        dpc: Demonstrations per class, where it is about one number only.
        covers: Numbers of demonstrations per class that its output is to have, where these do not depend on one
            another: an output that has more is as good.
        work: What it does, by unit of `rates` (`query`, `pretrain_step`, ...), as far as that is known before.
        content: Fingerprints of models and sets that are no output of the study, by option.
    """

    name: str
    stage: str
    options: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    seed: int = 0
    dpc: int | None = None
    covers: tuple[int, ...] = ()
    work: Mapping[str, int] = field(default_factory=dict)
    content: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the cells that must be done before."""
        return tuple(self.inputs.values())

    def arguments(self, directory_of: Callable[[str], Path], covers: Sequence[int] = ()) -> list[str]:
        """
        Its command line, without the name of the command.

        Args:
            directory_of: Says where the output of a cell is.
            covers: More numbers of demonstrations per class that the output is to have.
        """
        options = dict(self.options) | {name: str(directory_of(cell)) for name, cell in self.inputs.items()}
        if self.covers:
            options["dpc"] = sorted({*self.covers, *covers})
        return to_flags(options | {"output_dir": str(directory_of(self.name))})


def to_flags(options: Mapping[str, Any]) -> list[str]:
    """Returns options as flags of a command line; `None` is left out, a list gives several values."""
    flags: list[str] = []
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            flags += [f"--{name}", *map(str, value)]
        elif isinstance(value, (bool, dict)):
            flags += [f"--{name}", json.dumps(value)]
        else:
            flags += [f"--{name}", str(value)]
    return flags


def fingerprints(cells: Sequence[Cell]) -> dict[str, str]:
    """
    SHA-256 of what the output of each cell depends on, by name: its command and options, the content of models and
    given sets, and the cells that it needs. Neither where things are, nor the numbers in `covers`.
    """
    found: dict[str, str] = {}
    for cell in cells:
        options = {name: value for name, value in cell.options.items() if name not in _PLACES and value is not None}
        if cell.covers:
            options.pop("dpc", None)
        needed = {name: found[other] for name, other in cell.inputs.items()}
        content = [cell.stage, options, dict(cell.content), needed]
        found[cell.name] = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return found


def make_plan(
    arguments: StudyArguments,
    data: DataArguments,
    seed: int,
    offered: Callable[[str], GivenSets],
) -> list[Cell]:
    """
    Returns the cells of a study, every cell after those that it needs.

    Args:
        arguments: What is compared.
        data: The task.
        seed: Seed of the study. Training seed s is `seed + s`; the queries depend on `seed` alone.
        offered: What there is of sets that were made elsewhere, by their source.

    Raises:
        UserError: no generator is named for methods that need one, given sets have none of the numbers of rows per
            class, or an option of a command is one that the study sets.
    """
    if arguments.generator is None and any(method.trained for method in arguments.chosen):
        raise UserError("--generator is missing: name the language model that becomes the generator, or 'tiny'")
    return _Planner(arguments, data, seed, offered).cells()


class _Planner:
    """Makes the cells in the order in which they are best run: what is cheap and what many need comes first."""

    def __init__(self, arguments: StudyArguments, data: DataArguments, seed: int, offered):
        self.args, self.seed = arguments, seed
        given = {name: value for name, value in dataclasses.asdict(data).items() if value is not None}
        for name in ("text_columns", "label_names"):
            if name in given:
                given[name] = ",".join(given[name])
        # All seeds are to have the same validation rows.
        self.data = given | {"split_seed": given.get("split_seed", seed)}
        self.given = {method.name: offered(method.directory) for method in arguments.chosen if method.kind == "given"}
        self.labels = _labels([arguments.learner, *(arguments.unseen_learners or ())])
        self.found: dict[str, Cell] = {}

    def cells(self) -> list[Cell]:
        for method in self.args.chosen:
            if method.makes_sets:
                for s in range(self.args.seeds_of(method)):
                    self._sets(method, s)
        for method in self.args.chosen:
            for s in range(self.args.seeds_of(method)):
                self._measure(method, s)
        for n in self.args.dpc:
            for method in self.args.chosen:
                self._in_context(method, n)
        for learner in self.labels:
            for method in self.args.chosen:
                self._as_training_data(method, learner)
        return list(self.found.values())

    def _add(self, name: str, stage: str, options: Mapping[str, Any], without: Sequence[str] = (), **more: Any) -> str:
        """Adds a cell with the options that the user gives to its command, but for those in `without`."""
        own = {key: value for key, value in self.args.options.get(stage, {}).items() if key not in without}
        fixed = {**self.data, **options, **more.get("inputs", {}), "output_dir": None, "overwrite": None}
        for option in own:
            if option in fixed:
                raise UserError(f"--options: {stage}: '{option}' is set by the study; leave it out")
        options = self.data | dict(options) | own
        content = {
            option: content_fingerprint(options[option]) for option in _MODELS if isinstance(options.get(option), str)
        }
        self.found.setdefault(name, Cell(name, stage, options, content=content | more.pop("content", {}), **more))
        return name

    # ---- generators ----

    def _trained(self, method: Method, s: int) -> str:
        """Name of the cell that trains the generator of a method with training seed `s`."""
        common = {"learner": self.args.learner, "seed": self.seed + s, "resume_from_checkpoint": True}
        if self.args.generator == "tiny":
            model = {"generator_config": "tiny"}
        else:
            model = {"generator": self.args.generator}
        work = {"pretrain_step": self.args.number("pretrain", "max_steps", 80_000)}
        pretrained = self._add(f"pretrain/seed_{s}", "pretrain", common | model, seed=s, work=work)
        if method.trained == "pretrain":
            return pretrained
        return self._add(
            f"distill/{method.trained}/seed_{s}",
            "distill",
            common | {"student": method.trained},
            without=_EMA_OPTIONS if method.trained == "shared" else (),
            inputs={"generator": pretrained},
            seed=s,
            work={"distill_step": self.args.number("distill", "max_steps", 20_000)},
        )

    # ---- sets ----

    def _where(self, method: Method, s: int) -> str:
        return f"{method.name}/seed_{s}" if method.is_seeded else method.name

    def _sets(self, method: Method, s: int) -> str:
        """Name of the cell that makes the sets of a method with training seed `s`."""
        name, number = f"sets/{self._where(method, s)}", self.args.sets_of(method)
        if not method.reranked:
            return self._draw(method, s, name, number, self.seed + s)
        candidates = number * self.args.likelihood_candidates
        seed = self.seed + s + _CANDIDATE_SEED
        made = self._draw(method, s, name.replace("sets/", "candidates/", 1), candidates, seed)
        # The prompts are those of the evaluation.
        evaluation = self.args.options.get("evaluate-icl", {})
        prompts = {key: value for key, value in evaluation.items() if key not in _HOW_ANSWERS_ARE_READ}
        options = prompts | {
            "model": self.args.model,
            "candidates": self.args.likelihood_candidates,
            "test_number": self.args.likelihood_queries,
            "split": "validation",
            "seed": self.seed,
        }
        more = {"method": method.name, "seed": s, "covers": tuple(self.args.dpc), "inputs": {"distilled": made}}
        more["work"] = {"query": candidates * len(self.args.dpc) * self.args.likelihood_queries}
        return self._add(name, "rerank", options, **more)

    def _draw(self, method: Method, s: int, name: str, number: int, seed: int) -> str:
        options: dict[str, Any] = {"dpc": self.args.dpc, "num_sets": number, "learner": self.args.learner}
        options["seed"] = seed
        more: dict[str, Any] = {"method": method.name, "seed": s, "covers": tuple(self.args.dpc)}
        if method.trained:
            more["inputs"] = {"generator": self._trained(method, s)}
        if method.kind == "real":
            options["demonstrations"] = method.base
            if method.base in _DETERMINISTIC:
                options["candidates_per_class"] = self.args.candidates_per_class
            return self._add(name, "select", options, **more)
        if method.base == "self_generated":
            options |= {"generator": self.args.model, "self_generated": True}
        ratio = self.args.number("generate", "over_sample_ratio", 100)
        more["work"] = {"text_per_class": int(number * max(self.args.dpc) * ratio)}
        return self._add(name, "generate", options, **more)

    # ---- measurements ----

    def _source(self, method: Method, s: int, numbers: Sequence[int], num_sets: int | None) -> tuple[dict, dict]:
        """
        Options of a command that give it the first `num_sets` sets of a method, or all, and what else its cell has:
        inputs, content.
        """
        if method.kind == "none":
            return {"demonstrations": "zero_shot"}, {}
        if method.kind == "retrieved":
            return {"demonstrations": method.name, "dpc": list(numbers)}, {}
        options = {"dpc": list(numbers), "num_sets": num_sets}
        if method.kind == "given":
            content = {"sets": self.given[method.name].fingerprint}
            return options | {"distilled": method.directory}, {"content": content}
        if method.name == "random":
            return options | {"demonstrations": "random"}, {}
        return options, {"inputs": {"distilled": self._sets(method, s)}}

    def _number_of_sets(self, method: Method, n: int | None = None) -> int:
        """
        Sets of a method with `n` rows per class; without it, so many as there are with any number. It does not depend
        on the numbers that are chosen, which may become more.
        """
        if method.kind in ("none", "retrieved"):
            return 1
        if method.kind != "given":
            return self.args.sets_of(method)
        counts = self.given[method.name].counts
        return min(self.args.set_counts.get(method.name, 10**9), min(counts.values()) if n is None else counts[n])

    def _number_to_measure(self, method: Method) -> int | None:
        """As above, of any number of rows per class; `None` for all where these have different numbers of sets."""
        counts = self.given[method.name].counts.values() if method.kind == "given" else ()
        return None if len(set(counts)) > 1 else self._number_of_sets(method)

    def _numbers(self, method: Method) -> list[int]:
        """The rows per class that there are sets for."""
        if method.kind != "given":
            return self.args.dpc
        offered = self.given[method.name].counts
        numbers = [n for n in self.args.dpc if n in offered]
        if not numbers:
            raise UserError(
                f"the sets of '{method.name}' have {', '.join(map(str, offered))} rows per class, none of --dpc "
                f"{' '.join(map(str, self.args.dpc))}"
            )
        return numbers

    def _measure(self, method: Method, s: int) -> None:
        if not method.makes_sets and method.kind != "given":
            return
        numbers = self._numbers(method)
        options, more = self._source(method, s, numbers, self._number_to_measure(method))
        options |= {"learner": self.args.learner, "model": self.args.model, "seed": self.seed}
        more |= {"method": method.name, "seed": s, "covers": tuple(numbers)}
        self._add(f"measure/{self._where(method, s)}", "measure", options, **more)

    def _in_context(self, method: Method, n: int) -> None:
        if n not in self._numbers(method):
            return
        for s in range(self.args.seeds_of(method)):
            options, more = self._source(method, s, [n], self._number_of_sets(method, n))
            options |= {
                "model": self.args.model,
                "split": self.args.split,
                "test_number": self.args.test_number,
                "seed": self.seed,
            }
            if method.name == "topk":
                options["learner"] = self.args.learner
            name = f"icl/{self._where(method, s)}" + ("" if method.kind == "none" else f"/dpc_{n}")
            more |= {"method": method.name, "seed": s, "dpc": 0 if method.kind == "none" else n}
            if self.args.test_number:
                more["work"] = {"query": self._number_of_sets(method, n) * self.args.test_number}
            self._add(name, "evaluate-icl", options, **more)

    def _as_training_data(self, method: Method, learner: str) -> None:
        numbers = [n for n in self._numbers(method) if n in (self.args.learner_dpc or self.args.dpc)]
        if method.kind in ("none", "retrieved") or not numbers:
            return
        stage = "evaluate-learner"
        steps = self.args.number(stage, "train_steps", 200) * self.args.number(stage, "num_seeds", 5)
        number = self._number_of_sets(method)
        number = min(number, self.args.learner_sets or number)
        for s in range(self.args.seeds_of(method)):
            options, more = self._source(method, s, numbers, number)
            options |= {
                "learner": learner,
                "split": self.args.split,
                "test_number": self.args.learner_test_number or self.args.test_number,
                "seed": self.seed,
            }
            more |= {"method": method.name, "seed": s, "covers": tuple(numbers)}
            more["work"] = {"learner_step": int(steps * len(numbers) * options["num_sets"])}
            self._add(f"learner/{self.labels[learner]}/{self._where(method, s)}", stage, options, **more)


def _labels(models: Sequence[str]) -> dict[str, str]:
    """
    A name for each model: the last part of its id or directory, and where an earlier one has that, as many before it
    as tell them apart. So a model that is added behind the others takes no name away.
    """
    names: dict[str, str] = {}
    for model in dict.fromkeys(models):
        parts = Path(model).parts
        candidates = [_as_name("--".join(parts[-n:])) for n in range(1, len(parts) + 1)]
        name = next((name for name in candidates if name and name not in names.values()), None)
        if name is None:
            raise UserError(f"the learners {', '.join(models)} cannot be told apart by name; rename a directory")
        names[model] = name
    return names


def _as_name(text: str) -> str:
    """A text as the name of a directory."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")

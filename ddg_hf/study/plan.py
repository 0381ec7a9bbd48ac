# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The grid of a study: which commands there are to run, and what each of them needs."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..configs import DataArguments
from ..errors import UserError
from .config import StudyArguments
from .methods import Method

# Kinds of `select` that are the same for all sets unless each has candidates of its own.
_DETERMINISTIC = ("herding", "generator_loss")


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
        seed: Number of the training seed, 0 for the first one; `None` if nothing is trained.
        dpc: Demonstrations per class, where it is about one number only.
        work: What it does, by unit of `rates` (`query`, `pretrain_step`, ...), as far as that is known before.
    """

    name: str
    stage: str
    options: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    seed: int | None = None
    dpc: int | None = None
    work: Mapping[str, int] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the cells that must be done before."""
        return tuple(self.inputs.values())

    def arguments(self, directory_of: Callable[[str], Path]) -> list[str]:
        """Its command line, without the name of the command; `directory_of` says where the output of a cell is."""
        options = dict(self.options) | {name: str(directory_of(cell)) for name, cell in self.inputs.items()}
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
    SHA-256 of what the output of each cell depends on, by name: its command and options, and those of the cells that
    it needs. Not where the study is.
    """
    found: dict[str, str] = {}
    for cell in cells:
        content = [cell.stage, dict(cell.options), {name: found[needed] for name, needed in cell.inputs.items()}]
        found[cell.name] = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return found


def make_plan(
    arguments: StudyArguments,
    data: DataArguments,
    seed: int,
    offered: Callable[[str], Sequence[int]],
) -> list[Cell]:
    """
    Returns the cells of a study, every cell after those that it needs.

    Args:
        arguments: What is compared.
        data: The task.
        seed: Seed of the study. Training seed s is `seed + s`; the queries depend on `seed` alone.
        offered: Which numbers of rows per class sets that were made elsewhere have, by their source.

    Raises:
        UserError: no generator is named for methods that need one, or given sets have none of the numbers of rows per
            class.
    """
    if arguments.generator is None and any(method.trained for method in arguments.chosen):
        raise UserError("--generator is missing: name the language model that becomes the generator, or 'tiny'")
    return _Planner(arguments, data, seed, offered).cells()


class _Planner:
    """Makes the cells in the order in which they are best run: what is cheap and what many need comes first."""

    def __init__(self, arguments: StudyArguments, data: DataArguments, seed: int, offered):
        self.args, self.seed, self.offered = arguments, seed, offered
        given = {name: value for name, value in dataclasses.asdict(data).items() if value is not None}
        for name in ("text_columns", "label_names"):
            if name in given:
                given[name] = ",".join(given[name])
        # All seeds are to have the same validation rows.
        self.data = given | {"split_seed": given.get("split_seed", seed)}
        self.found: dict[str, Cell] = {}

    def cells(self) -> list[Cell]:
        for method in self.args.chosen:
            self._sets_of(method)
        sets = [cell for cell in self.found.values() if cell.stage in ("generate", "select", "rerank")]
        for method in self.args.chosen:
            for s in range(self.args.seeds_of(method)):
                self._measure(method, s)
        for n in self.args.dpc:
            for method in self.args.chosen:
                self._in_context(method, n)
        for learner in (self.args.learner, *(self.args.unseen_learners or ())):
            for method in self.args.chosen:
                self._as_training_data(method, learner)
        assert all(self.found[needed] for cell in sets for needed in cell.needs), "a cell needs what is not there"
        return list(self.found.values())

    def _add(self, name: str, stage: str, options: Mapping[str, Any], **more: Any) -> str:
        options = self.data | dict(options) | self.args.options.get(stage, {})
        self.found.setdefault(name, Cell(name, stage, options, **more))
        return name

    # ---- generators ----

    def _trained(self, method: Method, s: int) -> str:
        """Name of the cell that trains the generator of a method with training seed `s`."""
        common = {"learner": self.args.learner, "seed": self.seed + s, "resume_from_checkpoint": True}
        if self.args.generator == "tiny":
            model = {"generator_config": "tiny"}
        else:
            model = {"generator": self.args.generator}
        pretrained = self._add(
            f"pretrain/seed_{s}",
            "pretrain",
            common | model,
            seed=s,
            work={"pretrain_step": self.args.options.get("pretrain", {}).get("max_steps", 80_000)},
        )
        if method.trained == "pretrain":
            return pretrained
        return self._add(
            f"distill/{method.trained}/seed_{s}",
            "distill",
            common | {"student": method.trained},
            inputs={"generator": pretrained},
            seed=s,
            work={"distill_step": self.args.options.get("distill", {}).get("max_steps", 20_000)},
        )

    # ---- sets ----

    def _where(self, method: Method, s: int) -> str:
        return f"{method.name}/seed_{s}" if method.is_seeded else method.name

    def _sets_of(self, method: Method) -> None:
        if method.kind in ("real", "generated") and method.name != "random":
            for s in range(self.args.seeds_of(method)):
                self._sets(method, s)

    def _sets(self, method: Method, s: int) -> str:
        """Name of the cell that makes the sets of a method with training seed `s`."""
        name, number = f"sets/{self._where(method, s)}", self.args.sets_of(method)
        if method.reranked:
            candidates = number * self.args.likelihood_candidates
            made = self._draw(method, s, name.replace("sets/", "candidates/", 1), candidates)
            options = {
                "model": self.args.model,
                "candidates": self.args.likelihood_candidates,
                "test_number": self.args.likelihood_queries,
                "split": "validation",
                "seed": self.seed,
            }
            work = {"query": candidates * len(self.args.dpc) * self.args.likelihood_queries}
            inputs = {"distilled": made}
            return self._add(name, "rerank", options, inputs=inputs, method=method.name, seed=s, work=work)
        return self._draw(method, s, name, number)

    def _draw(self, method: Method, s: int, name: str, number: int) -> str:
        options: dict[str, Any] = {"dpc": self.args.dpc, "num_sets": number, "learner": self.args.learner}
        options["seed"] = self.seed + s
        base = method.base
        if method.kind == "real":
            options["demonstrations"] = base
            if base in _DETERMINISTIC:
                options["candidates_per_class"] = self.args.candidates_per_class
            inputs = {"generator": self._trained(method, s)} if method.trained else {}
            return self._add(name, "select", options, inputs=inputs, method=method.name, seed=s)
        texts = number * max(self.args.dpc) * int(self.args.options.get("generate", {}).get("over_sample_ratio", 100))
        work = {"text_per_class": texts}
        if base == "self_generated":
            options |= {"generator": self.args.model, "self_generated": True}
            return self._add(name, "generate", options, method=method.name, seed=s, work=work)
        inputs = {"generator": self._trained(method, s)}
        return self._add(name, "generate", options, inputs=inputs, method=method.name, seed=s, work=work)

    # ---- measurements ----

    def _source(self, method: Method, s: int, numbers: Sequence[int]) -> tuple[dict[str, Any], dict[str, str]]:
        """Options and inputs that give a command the sets of a method."""
        counted = {"dpc": list(numbers), "num_sets": self.args.sets_of(method)}
        if method.kind == "none":
            return {"demonstrations": "zero_shot"}, {}
        if method.kind == "retrieved":
            return {"demonstrations": method.name, "dpc": list(numbers)}, {}
        if method.name == "random":
            return counted | {"demonstrations": "random"}, {}
        if method.kind == "given":
            limit = self.args.set_counts.get(method.name)
            return {"distilled": method.directory, "dpc": list(numbers), "num_sets": limit}, {}
        return counted, {"distilled": self._sets(method, s)}

    def _numbers(self, method: Method) -> list[int]:
        """The rows per class that there are sets for."""
        if method.kind != "given":
            return self.args.dpc
        offered = list(self.offered(method.directory))
        numbers = [n for n in self.args.dpc if n in offered]
        if not numbers:
            raise UserError(
                f"the sets of '{method.name}' have {', '.join(map(str, offered))} rows per class, none of --dpc "
                f"{' '.join(map(str, self.args.dpc))}"
            )
        return numbers

    def _measure(self, method: Method, s: int) -> None:
        if method.kind in ("none", "retrieved") or method.name == "random":
            return
        options, inputs = self._source(method, s, self._numbers(method))
        options |= {"learner": self.args.learner, "model": self.args.model, "seed": self.seed}
        name = f"measure/{self._where(method, s)}"
        self._add(name, "measure", options, inputs=inputs, method=method.name, seed=s)

    def _in_context(self, method: Method, n: int) -> None:
        if n not in self._numbers(method):
            return
        for s in range(self.args.seeds_of(method)):
            options, inputs = self._source(method, s, [n])
            options |= {
                "model": self.args.model,
                "split": self.args.split,
                "test_number": self.args.test_number,
                "seed": self.seed,
            }
            if method.name == "topk":
                options["learner"] = self.args.learner
            name = f"icl/{self._where(method, s)}" + ("" if method.kind == "none" else f"/dpc_{n}")
            sets = 1 if method.kind in ("none", "retrieved") else self.args.sets_of(method)
            work = {"query": sets * self.args.test_number} if self.args.test_number else {}
            dpc = 0 if method.kind == "none" else n
            self._add(name, "evaluate-icl", options, inputs=inputs, method=method.name, seed=s, dpc=dpc, work=work)

    def _as_training_data(self, method: Method, learner: str) -> None:
        if method.kind in ("none", "retrieved"):
            return
        settings = self.args.options.get("evaluate-learner", {})
        steps = settings.get("train_steps", 200) * settings.get("num_seeds", 5)
        numbers = [n for n in self._numbers(method) if n in (self.args.learner_dpc or self.args.dpc)]
        if not numbers:
            return
        for s in range(self.args.seeds_of(method)):
            options, inputs = self._source(method, s, numbers)
            sets = self.args.sets_of(method)
            if self.args.learner_sets is not None:
                sets = options["num_sets"] = min(sets, self.args.learner_sets)
            options |= {
                "learner": learner,
                "split": self.args.split,
                "test_number": self.args.learner_test_number or self.args.test_number,
                "seed": self.seed,
            }
            name = f"learner/{short_name(learner)}/{self._where(method, s)}"
            work = {"learner_step": steps * len(numbers) * sets}
            self._add(name, "evaluate-learner", options, inputs=inputs, method=method.name, seed=s, work=work)


def short_name(model: str) -> str:
    """The last part of the id or directory of a model."""
    return Path(model).name or model

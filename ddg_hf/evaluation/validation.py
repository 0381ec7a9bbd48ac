# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a generator's sets are worth while it is trained: classifiers trained on them, tested on held-out rows."""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from ..data.samplers import stable_seed
from ..errors import UserError
from ..generation import generate_sets
from ..generation_config import GenerationArguments
from ..models.generator import Generator
from ..models.learner import Learner
from .demonstrations import balanced_sample
from .learner import LearnerEvaluationArguments, train_and_predict
from .metrics import compute_metrics

logger = logging.getLogger(__name__)

# Candidates for each row that is kept: fewer than for sets that are published, as sampling is most of the time.
OVER_SAMPLE_RATIO = 10


class SetValidator:
    """
    Generates sets, trains a fresh classifier on each, and tests it on held-out rows.

    The sets, heads and batches of a call depend on the seed and the generator alone, so calls are comparable.

    Args:
        learner ([`Learner`]): the classifier; its weights change.
        embed (`Callable`): embeds rows, for the selection of K-centers.
        rows, labels: held-out rows and their label ids; a class-balanced sample of `args.validation_rows` is used.
        metrics (`Sequence[str]`): metrics of the task.
        args ([`DistillationConfig`]): its `validation_*` fields, sampling settings, learner batch size and seed.
    """

    def __init__(
        self,
        learner: Learner,
        embed: Callable[[Sequence[tuple[str, ...]]], np.ndarray],
        rows: Sequence[tuple[str, ...]],
        labels: Sequence[int],
        metrics: Sequence[str],
        args,
    ):
        self.learner, self.embed, self.args = learner, embed, args
        self.metrics = list(dict.fromkeys(("accuracy", *metrics)))
        self.num_labels = learner.model.config.num_labels
        chosen = balanced_sample(labels, args.validation_rows, args.seed, self.num_labels)
        self.encoded = learner.encode([rows[i] for i in chosen])
        self.references = np.asarray([labels[i] for i in chosen])

    def __call__(self, generator: Generator, processes) -> dict[str, float]:
        """
        Means over the sets, which the processes share: `learner_accuracy` and the task's metrics, as `learner_*`.

        A set for which the generator writes too few usable texts counts as zero, with a warning.
        """
        numbers = range(self.args.validation_sets)
        mine = [(number, self._measure(generator, number)) for number in processes.share(numbers)]
        found = processes.gather(mine)
        return {f"learner_{name}": float(np.mean([found[k][name] for k in numbers])) for name in self.metrics}

    def _measure(self, generator: Generator, number: int) -> dict[str, float]:
        args = self.args
        arguments = GenerationArguments(
            dpc=[args.validation_dpc],
            over_sample_ratio=OVER_SAMPLE_RATIO,
            top_p=args.top_p,
            sampling_temperature=args.sampling_temperature,
            max_sampling_rounds=args.max_sampling_rounds,
        )
        # Not the sets that `generate` would publish with the same seed.
        seed = stable_seed(args.seed, "validation")
        try:
            sets, _ = generate_sets(generator, arguments, seed, embed=self.embed, numbers=[number])
        except UserError as error:
            # A generator that has collapsed is a bad result, not the end of the run.
            logger.warning("validation set %d counts as 0: %s", number, error)
            return dict.fromkeys(self.metrics, 0.0)
        rows = [(row.texts, row.label) for row in sets[args.validation_dpc]]
        training = LearnerEvaluationArguments(
            train_steps=args.validation_learner_steps,
            learning_rate=args.learner_learning_rate,
            batch_size=args.learner_batch_size,
        )
        predictions = train_and_predict(self.learner, rows, self.encoded, training, args.seed, "validation", number)
        return compute_metrics(self.metrics, predictions, self.references, self.num_labels)

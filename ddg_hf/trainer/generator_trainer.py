# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the two training stages of a generator have in common: micro-batches, sampling, saving and resuming."""

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file
from transformers import Trainer

from ..data.samplers import length_sorted_batches
from ..errors import UserError
from ..evaluation.label_control import LabelProbe
from ..models.generator import CHUNK_SIZE, Generator
from ..provenance import write_json

ACCUMULATORS_FILE = "accumulators_{rank}.json"


class GeneratorTrainer(Trainer):
    """
    Base of [`GeneratorPretrainingTrainer`] and [`DistillationTrainer`].

    Args:
        generator ([`Generator`]): the model that is trained, with its tokenizer and sequence format.
        args ([`BaseConfig`]): the training configuration.
        train_dataset (`torch.utils.data.Dataset`): what the dataloader iterates over.
        eval_rows, eval_labels: held-out real rows.
        probe ([`LabelProbe`], *optional*): measures label consistency.
    """

    _tag_names = ["ddg_hf"]

    def __init__(
        self,
        generator: Generator,
        args,
        train_dataset,
        eval_rows: Sequence[tuple[str, ...]] = (),
        eval_labels: Sequence[int] = (),
        probe: LabelProbe | None = None,
        data_collator: Callable | None = None,
        **kwargs,
    ):
        self.generator = generator
        self.eval_rows, self.eval_labels, self.probe = list(eval_rows), list(eval_labels), probe
        self._running: dict[str, list[float]] = defaultdict(list)
        self._restored: dict | None = None
        super().__init__(
            model=generator.model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=list(eval_rows) or None,
            processing_class=generator.tokenizer,
            data_collator=data_collator,
            **kwargs,
        )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UserError("sharded training (FSDP, DeepSpeed) is not supported yet; use accelerate_configs/ddp.yaml")
        if args.n_gpu > 1:
            raise UserError(
                f"this process sees {args.n_gpu} GPUs; start it with `accelerate launch` or set CUDA_VISIBLE_DEVICES=0"
            )

    # ---- forward and backward ----

    def micro_batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Row indices of length-sorted micro-batches under `tokens_per_micro_batch`."""
        return length_sorted_batches(lengths, self.args.tokens_per_micro_batch)

    def backward(self, loss: torch.Tensor) -> None:
        """Backward pass through accelerate; the loss is already scaled for accumulation and processes."""
        self.accelerator.backward(loss)

    def sync_context(self, model, last: bool):
        """Gradients synchronise on the last micro-batch only."""
        return contextlib.nullcontext() if last else self.accelerator.no_sync(model)

    def check_finite(self, loss: torch.Tensor, what: str) -> None:
        """Raises `UserError` if a loss is not finite, naming the step."""
        if not torch.isfinite(loss).all():
            raise UserError(
                f"the {what} is not finite at step {self.state.global_step + 1}; lower --learning_rate or use --bf16 "
                "instead of float16. Checkpoints saved before this step are intact"
            )

    # ---- sampling and measuring ----

    def sample_targets(self, num_per_label: int, *seed_parts: int | str, labels: Sequence[int] | None = None):
        """
        Samples `num_per_label` targets for each label; processes share the chunks and all get the whole result.

        Returns:
            `dict[int, list[list[int]]]`: targets of each label, malformed ones included.
        """
        labels = range(self.generator.format.num_labels) if labels is None else labels
        chunks = [(y, c) for y in labels for c in range(-(-num_per_label // CHUNK_SIZE))]
        model = self.accelerator.unwrap_model(self.model_wrapped, keep_torch_compile=False)
        mine = []
        for label, chunk in chunks[self.args.process_index :: self.args.world_size]:
            rows = self.generator.sample(
                label,
                chunk,
                *seed_parts,
                top_p=self.args.top_p,
                temperature=self.args.sampling_temperature,
                model=model,
            )
            mine.append(((label, chunk), rows))
        gathered = dict(gather_object(mine)) if self.args.world_size > 1 else dict(mine)
        joined = {y: [row for c in range(-(-num_per_label // CHUNK_SIZE)) for row in gathered[y, c]] for y in labels}
        return {label: rows[:num_per_label] for label, rows in joined.items()}

    def measure_generator(self) -> dict[str, float]:
        """Held-out NLL (nats per token), label consistency, malformed rate; keys without prefix."""
        metrics = {}
        if self.eval_rows:
            format = self.generator.format
            pairs = list(zip(self.eval_rows[:512], self.eval_labels[:512], strict=True))
            # Rows with a token that a trimmed vocabulary lacks have no likelihood under it.
            samples = [format.encode(row, label) for row, label in pairs if format.is_covered(row)]
            metrics["rows_outside_vocabulary"] = 1 - len(samples) / len(pairs)
            if samples:
                metrics["nll"] = self.generator.nll(samples, self.args.tokens_per_micro_batch).mean().item()
        if self.args.probe_samples:
            targets = self.sample_targets(self.args.probe_samples, self.args.seed, "probe")
            decoded = [(self.generator.format.decode(t), y) for y, rows in targets.items() for t in rows]
            good = [(text, y) for text, y in decoded if text is not None]
            metrics["malformed_rate"] = 1 - len(good) / len(decoded)
            if self.probe is not None and good:
                metrics["label_consistency"] = self.probe.accuracy([t for t, _ in good], [y for _, y in good])
        if self.probe is not None and self.eval_rows:
            metrics["probe_accuracy_on_real_rows"] = self.probe.accuracy(self.eval_rows, self.eval_labels)
        return metrics

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Measures the generator and logs the result."""
        start = time.time()
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in self.measure_generator().items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.time() - start, 3)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def note(self, **values: float) -> None:
        """Remembers values that the next log line reports as means."""
        for key, value in values.items():
            self._running[key].append(float(value))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update({key: sum(values) / len(values) for key, values in self._running.items() if values})
            self._running.clear()
        super().log(logs, start_time)

    # ---- saving and resuming ----

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # Not the parent's: a trimmed vocabulary is saved in full, and nothing is pickled (`training_args.bin`).
        output_dir = output_dir or self.args.output_dir
        if not self.args.should_save:
            return
        os.makedirs(output_dir, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if hasattr(model, "merge_and_unload") and os.path.basename(output_dir).startswith("checkpoint-"):
            model.save_pretrained(output_dir)
            self.generator.tokenizer.save_pretrained(output_dir)
            self.generator.format.save(output_dir)
        else:
            self.generator.save_pretrained(output_dir, state_dict=state_dict, model=model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        if hasattr(self.model, "merge_and_unload"):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        files = sorted(Path(resume_from_checkpoint).glob("model*.safetensors"))
        if not files:
            raise UserError(f"'{resume_from_checkpoint}' holds no model weights; name another checkpoint")
        state_dict = {key: value for file in files for key, value in load_file(file).items()}
        if self.generator.vocabulary is not None:
            state_dict = self.generator.vocabulary.trimmed_state_dict(state_dict)
        # Tied weights are stored once.
        missing, unexpected = self.model.load_state_dict(state_dict, strict=False)
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or {})
        if unexpected or set(missing) - tied:
            raise UserError(
                f"'{resume_from_checkpoint}' belongs to another model: missing {missing[:3]}, "
                f"unexpected {unexpected[:3]}"
            )
        self.model.tie_weights()

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        # Without these the first loss that is logged after a resume would be another one.
        state = {
            "tr_loss": self._tr_loss.item(),
            "last_logged": self._globalstep_last_logged,
            "running": dict(self._running),
        }
        write_json(Path(output_dir) / ACCUMULATORS_FILE.format(rank=self.args.process_index), state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            path = Path(checkpoint) / ACCUMULATORS_FILE.format(rank=self.args.process_index)
            if not path.is_file():
                raise UserError(f"checkpoint '{checkpoint}' is incomplete ({path.name} is missing); name another one")
            self._restored = json.loads(path.read_text(encoding="utf-8"))

    def restore_accumulators(self) -> None:
        """Called by the first training step: Trainer has set its accumulators to zero after loading a checkpoint."""
        if self._restored is not None:
            self._tr_loss.fill_(self._restored["tr_loss"])
            # Trainer reports the mean over the steps of this call: the loss of earlier ones must not count.
            self._total_loss_scalar = -self._restored["tr_loss"]
            self._globalstep_last_logged = self._restored["last_logged"]
            self._running = defaultdict(list, self._restored["running"])
            self._restored = None

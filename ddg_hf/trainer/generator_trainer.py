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
from safetensors.torch import load_file
from torch.utils.data import Dataset
from transformers.integrations.deepspeed import deepspeed_load_checkpoint
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..data.samplers import CPU_MAX_PADDING, length_sorted_batches
from ..errors import UserError
from ..evaluation.label_control import LabelProbe
from ..models.generator import Generator, num_chunks
from ..provenance import write_json
from .base_config import BaseConfig
from .checkpoints import ACCUMULATORS_FILE, defect, remove_checkpoint, rotate_checkpoints, write_manifest, writing
from .processes import Processes
from .progress import replace_progress
from .publishing import PublishingTrainer
from .sharding import (
    check_engine,
    full_precision_state_dict,
    gathered,
    keep_head_gathered,
    load_full_state_dict,
    load_models_whole,
)


class GeneratorTrainer(PublishingTrainer):
    """
    Base of [`GeneratorPretrainingTrainer`] and [`DistillationTrainer`].

    Args:
        generator ([`Generator`]): the model that is trained, with its tokenizer and sequence format.
        args ([`BaseConfig`]): the training configuration.
        train_dataset (`torch.utils.data.Dataset`): what the dataloader iterates over.
        eval_rows, eval_labels: held-out real rows, one text per column, and their label ids.
        probe ([`LabelProbe`], *optional*): measures label consistency.
        data_collator (`Callable`, *optional*): makes a batch of the items of `train_dataset`.
        kwargs: what [`~transformers.Trainer`] takes besides (`callbacks`, `optimizers`, ...).

    Raises:
        UserError: the process sees several GPUs. In training also: a loss or gradient that is not finite, or a
            checkpoint that is incomplete or belongs to another model or number of processes.
    """

    _tag_names = ["ddg_hf"]

    def __init__(
        self,
        generator: Generator,
        args: BaseConfig,
        train_dataset: Dataset,
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
        self._progress = replace_progress(self, self.stage)
        self.processes = Processes(self.accelerator)
        check_engine(self.accelerator, generator.model)
        load_models_whole()
        if args.n_gpu > 1:
            raise UserError(
                f"this process sees {args.n_gpu} GPUs; start it with `accelerate launch` or set CUDA_VISIBLE_DEVICES=0"
            )

    def train(self, *args, **kwargs):
        try:
            return super().train(*args, **kwargs)
        finally:
            if self._progress is not None:  # the terminal is as it was, however the training has ended
                self._progress.close()

    # ---- forward and backward ----

    def micro_batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Row indices of length-sorted micro-batches under `tokens_per_micro_batch`, on a CPU with little padding."""
        max_padding = CPU_MAX_PADDING if self.args.device.type == "cpu" else None
        return length_sorted_batches(lengths, self.args.tokens_per_micro_batch, max_padding)

    def padded(self, micro_batches: list[list[int]]) -> list[list[int]]:
        """
        As many micro-batches on every process: empty ones, which come last, make up the difference.

        An empty one stands for a forward and backward pass of the shortest row with weight zero. The passes of a
        sharded model are collective operations, so a process that skipped them would make the others wait.
        """
        if self.args.world_size == 1:
            return micro_batches
        counts = self.accelerator.gather(torch.tensor([len(micro_batches)], device=self.args.device))
        return micro_batches + [[] for _ in range(int(counts.max()) - len(micro_batches))]

    @property
    def is_sharded(self) -> bool:
        """Whether FSDP2 or DeepSpeed ZeRO spreads the generator, its gradients or its optimizer over processes."""
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def backward(self, loss: torch.Tensor) -> None:
        """Backward pass through accelerate; the loss is already scaled for accumulation and processes."""
        self.accelerator.backward(loss, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))

    @contextlib.contextmanager
    def sync_context(self, model, last: bool):
        """Gradients synchronise on the `last` micro-batch of the last accumulation step only."""
        state = self.accelerator.gradient_state
        last_step = state.sync_gradients
        # DeepSpeed's engine updates the weights at the end of every backward pass that finds this set.
        state._set_sync_gradients(last_step and last)
        try:
            with contextlib.nullcontext() if last_step and last else self.accelerator.no_sync(model):
                yield
        finally:
            state._set_sync_gradients(last_step)

    def _prepare_for_training(self, *args, **kwargs):
        prepared = super()._prepare_for_training(*args, **kwargs)
        keep_head_gathered(self.model_wrapped)
        return prepared

    def check_finite(self, loss: torch.Tensor, what: str) -> None:
        """Raises `UserError` if a loss is not finite, naming the step."""
        if not torch.isfinite(loss).all():
            raise UserError(
                f"the {what} is not finite at step {self.state.global_step + 1}; lower --learning_rate or use --bf16 "
                "instead of float16. Checkpoints saved before this step are intact"
            )

    def text(self, ids: Sequence[int]) -> str:
        """What token ids of the model say, control tokens included."""
        vocabulary = self.generator.vocabulary
        return self.generator.tokenizer.decode(ids if vocabulary is None else vocabulary.to_full(ids))

    def _get_grad_norm(self, model, grad_norm=None):
        # Before the optimizer's step: weights that are not finite must never reach a checkpoint.
        norm = super()._get_grad_norm(model, grad_norm)
        # A float16 scaler finds its scale by overflows, and skips those steps itself.
        scaled = self.accelerator.scaler is not None or (self.is_deepspeed_enabled and self.args.fp16)
        if norm is not None and not scaled:
            self.check_finite(torch.as_tensor(norm), "gradient")
        return norm

    # ---- sampling and measuring ----

    def sample_targets(self, num_per_label: int, *seed_parts: int | str, labels: Sequence[int] | None = None):
        """
        Samples `num_per_label` targets for each label; processes share the chunks and all get the whole result.

        Args:
            num_per_label: Texts of each label.
            seed_parts: Numbers and words that determine the texts, together with label and chunk.
            labels: Label ids; all by default.

        Returns:
            `dict[int, list[list[int]]]`: targets of each label, malformed ones included.
        """
        labels = range(self.generator.format.num_labels) if labels is None else labels
        chunks = [(y, c) for y in labels for c in range(num_chunks(num_per_label))]
        mine = []
        with gathered(self.model_wrapped) as model:
            for label, chunk in self.processes.share(chunks):
                rows = self.generator.sample(
                    label,
                    chunk,
                    *seed_parts,
                    top_p=self.args.top_p,
                    temperature=self.args.sampling_temperature,
                    model=model,
                )
                mine.append(((label, chunk), rows))
        found = self.processes.gather(mine)
        joined = {y: [row for c in range(num_chunks(num_per_label)) for row in found[y, c]] for y in labels}
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
            metrics |= self.measure_texts(self.sample_targets(self.args.probe_samples, self.args.seed, "probe"))
        if self.probe is not None and self.eval_rows:
            metrics["probe_accuracy_on_real_rows"] = self.probe.accuracy(self.eval_rows, self.eval_labels)
        return metrics

    def measure_texts(self, targets: dict[int, list[list[int]]]) -> dict[str, float]:
        """Malformed rate and label consistency of sampled targets of each label; keys without prefix."""
        decoded = [(self.generator.format.decode(t), y) for y, rows in targets.items() for t in rows]
        good = [(text, y) for text, y in decoded if text is not None]
        metrics = {"malformed_rate": 1 - len(good) / len(decoded)}
        if self.probe is not None and good:
            metrics["label_consistency"] = self.probe.accuracy([t for t, _ in good], [y for _, y in good])
        return metrics

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Measures the generator and logs the result."""
        start = time.time()
        with gathered(self.model_wrapped):
            measured = self.measure_generator()
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in measured.items()}
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

    # Seconds of training before this call, and when this call began.
    _seconds_before, _start_time = 0.0, 0.0
    # The last step at whose end something may have been logged or saved, and whether its checkpoint is still to come.
    _seen_step: int | None = None
    _save_postponed = False

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # Not the parent's: a trimmed vocabulary is saved in full, and nothing is pickled (`training_args.bin`).
        output_dir = output_dir or self.args.output_dir
        if self.is_deepspeed_enabled:
            state_dict = full_precision_state_dict(self.model_wrapped, state_dict)
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
        missing, unexpected = load_full_state_dict(self.model, state_dict)
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or {})
        if unexpected or set(missing) - tied:
            raise UserError(
                f"'{resume_from_checkpoint}' belongs to another model: missing {missing[:3]}, "
                f"unexpected {unexpected[:3]}"
            )
        if not self.is_sharded:
            self.model.tie_weights()

    def _load_best_model(self) -> None:
        reason = defect(Path(self.state.best_model_checkpoint), resumable=False)
        if reason is not None:
            raise UserError(
                f"the best checkpoint '{self.state.best_model_checkpoint}' cannot be used: {reason}; resume without "
                "--load_best_model_at_end to keep the last weights"
            )
        if self.is_deepspeed_enabled:
            deepspeed_load_checkpoint(self.model_wrapped, self.state.best_model_checkpoint)
        else:
            self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        # Without these the first loss that is logged after a resume would be another one.
        state = {
            "num_processes": self.args.world_size,
            "tr_loss": self._tr_loss.item(),
            "total_loss": self._total_loss_scalar,
            "last_logged": self._globalstep_last_logged,
            "running": dict(self._running),
            "seconds": self._seconds_before + time.time() - self._start_time,
            # By a callback, such as early stopping.
            "stopped": self.control.should_training_stop and self.state.global_step < self.state.max_steps,
        }
        write_json(Path(output_dir) / ACCUMULATORS_FILE.format(rank=self.args.process_index), state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        path = Path(checkpoint) / ACCUMULATORS_FILE.format(rank=self.args.process_index)
        state = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if state.get("num_processes") != self.args.world_size:
            raise UserError(
                f"checkpoint '{checkpoint}' is incomplete or was not written by {self.args.world_size} processes "
                f"({path.name}); start as many as wrote it, or name another one"
            )
        self._restored = state

    def restore_accumulators(self) -> None:
        """Called when training begins: Trainer has set its accumulators to zero after loading a checkpoint."""
        if self._restored is not None:
            self._tr_loss.fill_(self._restored["tr_loss"])
            self._total_loss_scalar = self._restored["total_loss"]
            self._globalstep_last_logged = self._restored["last_logged"]
            self._running = defaultdict(list, self._restored["running"])
            self._seconds_before = self._restored["seconds"]
            self.control.should_training_stop = self._restored["stopped"]
            # The last line that is logged reports the whole run, not only what came after the last restart.
            self._initial_global_step = 0
            self._restored = None

    def _run_epoch(self, **kwargs) -> None:
        self.restore_accumulators()
        self._start_time, self._seen_step = kwargs["start_time"], None
        # Trainer would take one more step from a checkpoint of the last one.
        self.control.should_training_stop |= self.state.global_step >= self.state.max_steps
        if not self.control.should_training_stop:
            super()._run_epoch(**kwargs)

    def _finalize_training(self, trial, num_train_samples, start_time):
        self.restore_accumulators()
        output = super()._finalize_training(trial, num_train_samples, start_time - self._seconds_before)
        self._seconds_before = 0.0
        return output

    def _evaluate(self, trial, ignore_keys_for_eval, skip_scheduler: bool = False) -> dict[str, float]:
        if skip_scheduler and self.state.global_step > 0:
            return {}  # `eval_on_start` means the start of the run, not that of its continuation
        return super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)

    def _maybe_log_save_evaluate(self, tr_loss, grad_norm, model, trial, epoch, *args, **kwargs) -> None:
        # What is logged and measured at the end of an epoch belongs to the checkpoint of its last step, or a run that
        # is resumed there would miss it: such a checkpoint is written after the end of the epoch, which comes next.
        after_step, self._seen_step = self.state.global_step != self._seen_step, self.state.global_step
        stops = self.control.should_training_stop or self.control.should_epoch_stop or self.state.epoch >= epoch + 1
        if after_step and stops and self.control.should_save:
            self._save_postponed, self.control.should_save = True, False
        elif not after_step and self._save_postponed:
            self._save_postponed, self.control.should_save = False, True
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, epoch, *args, **kwargs)

    def _save_checkpoint(self, model, trial) -> None:
        """Trainer's checkpoint, with a manifest that is written last and before older checkpoints are removed."""
        run_dir = Path(self._get_output_dir(trial=trial))
        directory = run_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        limit, saves = self.args.save_total_limit, self.args.should_save
        if saves and directory.is_dir():
            remove_checkpoint(directory)  # torn, or of a run that went back to an earlier step
        self.accelerator.wait_for_everyone()
        self.args.save_total_limit = None
        try:
            with writing(directory, run_dir, remove=saves):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if saves:
                    write_manifest(directory)
        finally:
            self.args.save_total_limit = limit
        if saves:
            rotate_checkpoints(run_dir, limit, directory, self.state.best_model_checkpoint)
            self.publish_checkpoint(directory)

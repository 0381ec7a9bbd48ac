# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a training shows: a line with stage, step, loss, gradient cosine and the time that is left, and evaluations."""

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from ..terminal import Progress, duration, result, say

# What is logged -> how it is called and written.
SHOWN = {
    "loss": ("loss", "#.4g"),
    "gradient_cosine": ("cosine", ".4f"),
    "learning_rate": ("lr", ".1e"),
}


class TrainingProgress(TrainerCallback):
    """
    Shows the progress of a training, in the main process only.

    Args:
        stage (`str`): what the training is called.
        shown (`bool`): whether steps are shown; evaluations always are.
    """

    def __init__(self, stage: str, shown: bool = True):
        self.stage, self.shown = stage, shown
        self._bar: Progress | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.close()
        if state.is_world_process_zero:
            self._bar = Progress(
                self.stage, state.max_steps, "step", done=state.global_step, throttled=False, shown=self.shown
            )

    def on_step_end(self, args, state, control, **kwargs):
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.done)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self._bar is not None and logs is not None and "loss" in logs:
            values = {name: f"{logs[key]:{form}}" for key, (name, form) in SHOWN.items() if key in logs}
            self._bar.report(**values)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if state.is_world_process_zero and metrics:
            say(f"{self.stage} evaluation at step {state.global_step}: {describe(metrics)}")

    def on_train_end(self, args, state, control, **kwargs):
        self.close()

    def close(self) -> None:
        """Ends what is shown, however the training has ended."""
        if self._bar is not None:
            self._bar.close(whole=self._bar.done >= self._bar.total)
        self._bar = None


def describe(metrics: dict[str, float]) -> str:
    """What an evaluation has measured, in one line."""
    values = {key.removeprefix("eval_"): value for key, value in metrics.items()}
    seconds = values.pop("runtime", None)
    values.pop("epoch", None)
    parts = [f"{name.replace('_', ' ')} {_number(value)}" for name, value in values.items()]
    return ", ".join(parts) + (f" (in {duration(seconds)})" if seconds is not None else "")


def _number(value: object) -> str:
    return f"{value:#.4g}" if isinstance(value, float) else str(value)


def replace_progress(trainer: Trainer, stage: str) -> TrainingProgress | None:
    """
    Puts a [`TrainingProgress`] in the place of Trainer's own bars and prints. Returns `None` where there is neither:
    in a notebook, whose table stays.
    """
    theirs = [one for one in trainer.callback_handler.callbacks if type(one) in (ProgressCallback, PrinterCallback)]
    if not theirs:
        return None
    for callback in theirs:
        trainer.remove_callback(callback)
    progress = TrainingProgress(stage, shown=not trainer.args.disable_tqdm)
    trainer.add_callback(progress)
    return progress


def report_training(trainer: Trainer, metrics: dict[str, float]) -> None:
    """Says where the generator of a finished run is; its result are the last losses and the final metrics."""
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    say(f"generator: {trainer.args.output_dir}")
    result(
        {
            "command": trainer.stage,
            "output_dir": trainer.args.output_dir,
            "last_logged": logged[-1] if logged else None,
            "metrics": metrics,
        }
    )

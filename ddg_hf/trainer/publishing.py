# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A trainer that publishes its generator on the Hub: whole commits, a card of its own, and nothing pickled."""

import logging
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from huggingface_hub import HfApi
from transformers import Trainer
from transformers.trainer_utils import HubStrategy

from ..cards.card import CARD_FILE, Card, read_card
from ..cards.model_card import model_card
from ..errors import UserError
from ..hub.connection import with_retries
from ..hub.models import make_repository, publish_model
from ..provenance import atomic_file, run_metadata

logger = logging.getLogger(__name__)


class PublishingTrainer(Trainer):
    """
    [`~transformers.Trainer`] with `push_to_hub` of its own. Trainer's would upload pickled arguments, which hold the
    token, and checkpoints while they are being removed.

    Attributes:
        stage (`str`): `pretrain` or `distill`.
        record (`dict`, *optional*): what the card says of the run (task, arguments of all parts, ...); by default the
            training arguments only.
    """

    stage: str
    record: dict[str, Any] | None = None

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """
        Makes the repository, so that a missing token is found before the training.

        Raises:
            UserError: on all processes, if the Hub refuses or cannot be reached.
        """
        name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        private = private if private is not None else self.args.hub_private_repo
        result: list[str | None] = [None, None]  # the repository, what went wrong
        if self.is_world_process_zero():
            try:
                result[0] = make_repository(name, private, token or self.args.hub_token)
            except Exception as error:  # whatever it is, the other processes must not wait for ever
                result[1] = str(error)
        if self.args.world_size > 1:
            broadcast_object_list(result)
        if result[1] is not None:
            raise UserError(result[1])
        self.hub_model_id = result[0]
        self.push_in_progress = None

    def create_model_card(self, **kwargs) -> None:
        """
        Writes the card, `README.md`, to the output directory; what was written into one by hand stays.

        Args:
            kwargs: `tags`, `language`, `license`, `dataset` and `finetuned_from` as for Trainer; the rest of its
                arguments say what the run knows itself, and are ignored.

        Raises:
            UserError: the card that is there cannot be read.
        """
        if not self.is_world_process_zero():
            return
        self._write_card(self._card(self._local_card(), **kwargs))

    def _write_card(self, card: Card) -> None:
        with atomic_file(Path(self.args.output_dir) / CARD_FILE) as temporary:
            temporary.write_text(str(card), encoding="utf-8", newline="\n")

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs,
    ) -> str | None:
        """
        Saves the generator to the output directory and publishes it with its card as `hub_model_id`, in one commit.

        Args:
            commit_message: First line of the commit message.
            blocking: It always is; kept for code written for Trainer.
            token: By default that of `hf auth login` or `HF_TOKEN`.
            revision: Branch; `args.hub_revision` by default.
            private: Whether a new repository is private; `args.hub_private_repo` by default.
            kwargs: For [`create_model_card`].

        Returns:
            Address of the commit; `None` on all processes but the main one.

        Raises:
            UserError: no token, or the Hub refuses or cannot be reached.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        return self.publish(commit_message, token, revision, private, **kwargs)

    def publish(
        self,
        commit_message: str | None = "End of training",
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs,
    ) -> str | None:
        """[`push_to_hub`] of what is saved already."""
        if self.hub_model_id is None:
            self.init_hf_repo(token, private)
        if not self.is_world_process_zero():
            return None
        local = self._local_card()
        address, card = publish_model(
            self.args.output_dir,
            self.hub_model_id,
            lambda published, target: self._card(local, published, target, **kwargs),
            revision=revision or self.args.hub_revision,
            message=commit_message or "End of training",
            token=token or self.args.hub_token,
        )
        self._write_card(card)
        return address

    def _local_card(self) -> Card | None:
        path = Path(self.args.output_dir) / CARD_FILE
        if not path.is_file():
            return None
        try:
            return read_card(path.read_bytes(), f"in '{path.parent}'")
        except OSError as error:
            raise UserError(f"cannot read '{path}': {error.strerror or error}") from error

    def _card(self, local: Card | None, published: Card | None = None, target: str = "", **kwargs) -> Card:
        record = self.record or run_metadata(self.stage, [self.args])
        name = getattr(self, "hub_model_id", None) or Path(self.args.output_dir).absolute().name
        tags = kwargs.get("tags") or []
        more = {
            "tags": [*self._tag_names, *([tags] if isinstance(tags, str) else tags)],
            "language": kwargs.get("language"),
            "license": kwargs.get("license"),
            "datasets": kwargs.get("dataset"),
            "base_model": kwargs.get("finetuned_from"),
        }
        return model_card(record, self.state.log_history, name, local, published, target, **more)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Trainer calls it before the checkpoint is whole; see [`publish_checkpoint`]."""

    def publish_checkpoint(self, directory: Path) -> None:
        """
        Publishes a whole checkpoint as `hub_strategy` says, while the other processes wait. A failure is a warning:
        the training goes on, and the next checkpoint, or the end, publishes again.

        Adapters are not published by themselves: the end publishes the generator that they are merged into.
        """
        strategy = self.args.hub_strategy
        if not self.args.push_to_hub or strategy == HubStrategy.END or not self.is_world_process_zero():
            return
        if (directory / "adapter_config.json").is_file():
            logger.info("'%s' has adapters: they are published at the end, merged into the model", directory)
            return
        message = f"Training in progress, step {self.state.global_step}"
        token, revision = self.args.hub_token, self.args.hub_revision
        try:
            local = self._local_card()
            publish_model(
                directory,
                self.hub_model_id,
                lambda published, target: self._card(local, published, target),
                revision=revision,
                message=message,
                token=token,
            )
            if strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
                folder = "last-checkpoint" if strategy == HubStrategy.CHECKPOINT else directory.name
                api = HfApi(library_name="ddg_hf", token=token)
                with_retries(
                    lambda: api.upload_folder(
                        repo_id=self.hub_model_id,
                        folder_path=directory,
                        path_in_repo=folder,
                        commit_message=f"{message}, checkpoint",
                        revision=revision,
                        delete_patterns="*" if strategy == HubStrategy.CHECKPOINT else None,
                    ),
                    f"publish '{self.hub_model_id}'",
                )
        except Exception as error:  # whatever it is, it must not end a training
            logger.warning("a checkpoint was not published (%s); the training goes on", error)

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The processes of a run: who does which share of the work, and how the shares are put together."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from accelerate.utils import broadcast, broadcast_object_list, gather_object

Item = TypeVar("Item")


class Processes:
    """
    Deals out work to the processes of a run.

    Args:
        accelerator (`Accelerator`, *optional*): the run's; without one there is a single process.
    """

    def __init__(self, accelerator=None):
        self.accelerator = accelerator
        self.index = 0 if accelerator is None else accelerator.process_index
        self.count = 1 if accelerator is None else accelerator.num_processes

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's share of `items`: every `count`-th."""
        return list(items[self.index :: self.count])

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of the tensors of all processes."""
        return value if self.count == 1 else self.accelerator.reduce(value, reduction="sum")

    def gather(self, pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
        """Joins the `(key, value)` pairs of all processes; every process gets them all."""
        return dict(pairs) if self.count == 1 else dict(gather_object(list(pairs)))

    def from_main(self, value: Any) -> Any:
        """What the main process has given for `value`."""
        return value if self.count == 1 else broadcast_object_list([value])[0]

    def copy_from_main(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrites the tensors of all processes with those of the main one."""
        if self.count > 1:
            for tensor in tensors:
                broadcast(tensor)

    def wait(self) -> None:
        """Returns when all processes have come here."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()

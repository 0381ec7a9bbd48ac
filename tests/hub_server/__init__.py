# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
A small Hugging Face Hub for tests, on the loopback interface.

It speaks the Hub's HTTP API far enough that the real `huggingface_hub`, `datasets` and `transformers` clients work
against it, without Xet: set `HF_HUB_DISABLE_XET=1`. Everything is in memory. See `HubServer`.
"""

from tests.hub_server.hub import HubServer

__all__ = ["HubServer"]

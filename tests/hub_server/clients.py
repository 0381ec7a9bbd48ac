# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The real clients against the test Hub: in this process, and in subprocesses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.hub_server.hub import HubServer

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
# What would send the clients elsewhere, or to somebody's own files. Names with a prefix of these are removed too.
FOREIGN_VARIABLES = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY")
FOREIGN_VARIABLES += ("ALL_PROXY", "NO_PROXY")


class Hub(HubServer):
    """
    A `HubServer` with a home for clients: `home` is their `HF_HOME`, `environment` what a subprocess needs.

    Args:
        home: an empty directory.
    """

    def __init__(self, home: Path):
        super().__init__()
        self.home = home

    @property
    def variables(self) -> dict[str, str]:
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(self.home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "*",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a subprocess whose clients talk to this Hub as `user`."""
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN_VARIABLES)}
        return kept | self.variables

    def run(self, *command: str, token: str | None = None, **variables: str) -> subprocess.CompletedProcess:
        """
        Runs a command from the root of the project; its output is captured as text and its exit code is not checked.

        Args:
            token: another one than the user's; `""` for none.
            variables: more of the environment.
        """
        environment = self.environment | variables
        if token is not None:
            environment["HF_TOKEN"] = token
        if not environment["HF_TOKEN"]:
            del environment["HF_TOKEN"]
        return subprocess.run(
            command, cwd=REPOSITORY_ROOT, env=environment, capture_output=True, text=True, timeout=300
        )

    def python(self, code: str, *arguments: str, **options) -> str:
        """Runs Python code in a fresh process, which must succeed, and returns what it printed."""
        process = self.run(sys.executable, "-c", code, *arguments, **options)
        assert process.returncode == 0, process.stderr
        return process.stdout

    def redirect_clients(self, monkeypatch) -> None:
        """
        Lets the clients of this process talk to this Hub until `monkeypatch` is undone.

        They read their environment once, when they are imported, into the constants that are replaced here.
        """
        import datasets.config
        import huggingface_hub.constants
        import huggingface_hub.hf_api
        import huggingface_hub.utils
        import transformers.utils.hub
        from huggingface_hub import HfFileSystem

        for name in list(os.environ):
            if name.upper().startswith(FOREIGN_VARIABLES):
                monkeypatch.delenv(name)
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)
        constants = {
            "ENDPOINT": self.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HOME": str(self.home),
            "HF_HUB_CACHE": str(self.home / "hub"),
            "HUGGINGFACE_HUB_CACHE": str(self.home / "hub"),
            "HF_ASSETS_CACHE": str(self.home / "assets"),
            "HF_TOKEN_PATH": str(self.home / "token"),
            "HF_STORED_TOKENS_PATH": str(self.home / "stored_tokens"),
            "AGENT_HARNESSES_PATH": str(self.home / ".agent_harnesses.json"),
        }
        for name, value in constants.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", self.url)  # of the functions of the module
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # made at the first call, and kept
        for name, value in {
            "HF_ENDPOINT": self.url,
            "HUB_DATASETS_URL": self.url + "/datasets/{repo_id}/resolve/{revision}/{path}",
            "HF_HUB_OFFLINE": False,
            "HF_DATASETS_OFFLINE": False,
            "HF_CACHE_HOME": str(self.home),
            "HF_DATASETS_CACHE": self.home / "datasets",
            "DOWNLOADED_DATASETS_PATH": self.home / "datasets" / "downloads",
            "EXTRACTED_DATASETS_PATH": self.home / "datasets" / "downloads" / "extracted",
            "HF_UPDATE_DOWNLOAD_COUNTS": False,
            "USE_PARQUET_EXPORT": False,  # asks another server
        }.items():
            monkeypatch.setattr(datasets.config, name, value)
        HfFileSystem.clear_instance_cache()
        huggingface_hub.utils.close_session()  # what it kept of other servers, and its proxies

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The version, and nothing else: setup.py reads this file without importing the package."""

__version__ = "0.1.0.dev0"

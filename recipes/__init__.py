# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""One script per stage. An installation ships this folder as `ddg_hf.recipes`, so `ddg-hf X` runs `recipes/X.py`."""

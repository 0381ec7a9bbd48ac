# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A study: methods x rows per class x seeds, as a grid of commands that is run piece by piece and never twice."""

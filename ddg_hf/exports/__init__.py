# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Distilled sets in the formats of other tools: one module for each, of functions that return what the files hold.

Where a format is about prompts, texts are written as the evaluation in context writes them, each on one line; where it
is about data (`dspy`, `csv`, `setfit`, the examples of `langchain`), they are those of the set.
"""

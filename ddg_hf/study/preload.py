# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the processes of a study have in common: imported once, in the process that they are forked from."""

import datasets  # noqa: F401
import sklearn.cluster  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Trainer  # noqa: F401

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Cards of datasets and models: what a run says about itself, and what its user adds."""

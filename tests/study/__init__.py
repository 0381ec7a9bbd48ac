# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.

# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Every module can be imported first: imports in a circle show only then."""

import subprocess
import sys

# One process, since the libraries take long to import and our modules do not.
PROGRAM = """
import importlib, pkgutil, sys
import ddg_hf
for module in list(pkgutil.walk_packages(ddg_hf.__path__, "ddg_hf.")):
    for loaded in [name for name in sys.modules if name.split(".")[0] == "ddg_hf"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        print(module.name, error)
"""


def test_every_module_can_be_the_first():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""

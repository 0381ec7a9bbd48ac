# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

VERSION = re.search(r'^__version__ = "([^"]+)"', (ROOT / "ddg_hf" / "version.py").read_text(), re.MULTILINE).group(1)

REQUIRED = [
    "torch>=2.6",
    "transformers>=5.20,<6",
    "accelerate>=1.10",
    "datasets>=5.0",
    "huggingface_hub>=2.0",
    "httpx2>=2.0",
    "evaluate>=0.4.6",
    "safetensors>=0.5",
    "tokenizers>=0.22",
    "numpy>=1.26",
    "jinja2>=3.1.6",
    "pyarrow>=18.0",
    "scikit-learn>=1.5",
    "datasketch>=1.6.5",
    "filelock>=3.13",
    "pyyaml>=6.0",
    "rich>=13.0",
]

EXTRAS = {
    "peft": ["peft>=0.17"],
    "quantization": ["bitsandbytes>=0.45"],
    "offline": ["gguf>=0.10"],
    "retrieval": ["bm25s>=0.2"],
    "server": ["openai>=1.60"],
    "vllm": ["vllm>=0.10"],
    "report": ["matplotlib>=3.9"],
    "docs": ["mkdocs>=1.6", "mkdocs-material>=9.7", "mkdocstrings[python]>=1.0", "latex2mathml>=3.78"],
    # MLflow's small package, and what its default store needs
    "trackers": ["tensorboard>=2.18", "trackio>=0.30", "mlflow-skinny>=3.0", "sqlalchemy>=2.0", "alembic>=1.13"],
}
EXTRAS["test"] = ["pytest>=8.3", "hypothesis>=6.100", "ruff==0.17.6"]
EXTRAS["test"] += [*EXTRAS["report"], "playwright>=1.45"]
EXTRAS["test"] += [*EXTRAS["peft"], *EXTRAS["offline"], *EXTRAS["retrieval"], *EXTRAS["trackers"]]
# what `transformers serve` needs besides openai
EXTRAS["test"] += [*EXTRAS["server"], "fastapi>=0.110", "uvicorn>=0.30"]
# the packages that exports are loaded with
EXTRAS["export-test"] = ["langchain-core>=1.2", "dspy>=3.0", "lm_eval>=0.4.13", "setfit>=1.2"]
EXTRAS["dev"] = [*EXTRAS["test"], "pre-commit>=4.0"]

setup(
    name="ddg_hf",
    version=VERSION,
    description="Distil a labelled text dataset into a handful of readable demonstrations, and measure their worth.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The ddg_hf team",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="dataset distillation, in-context learning, synthetic data, text classification, transformers",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.10",
    # The scripts in recipes/ are the commands: they are shipped as they are, under the package's own name.
    packages=[*find_packages(include=["ddg_hf", "ddg_hf.*"]), "ddg_hf.recipes"],
    package_dir={"ddg_hf.recipes": "recipes"},
    package_data={"ddg_hf": ["templates/*"], "ddg_hf.recipes": ["*/*.yaml"]},
    include_package_data=False,
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ddg-hf=ddg_hf.cli:main"]},
    zip_safe=False,
)

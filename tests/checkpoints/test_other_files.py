"""Files of other kinds that are given as checkpoints: what they are is said, and what to do."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stemsplit.checkpoints import checkpoint, resolve
from stemsplit.errors import WeightsError


def said(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        checkpoint.read(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 913000000\n", "git lfs pull"),
        (b"\x08\x08\x12\x07pytorch\x1a\x051.8.1" + bytes(100), "it is an ONNX model"),
        (b"GGUF\3\0\0\0" + bytes(100), "GGUF"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "TensorFlow Lite"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(50), "it is audio"),
        (bytes(5_000), "is the download complete?"),
        (b"", "it is empty"),
        (b"anything else", "is the download complete?"),
    ],
)
@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors", "a.onnx"])
def test_what_a_file_is_instead_is_said(tmp_path: Path, name: str, data: bytes, wanted: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert wanted in said(path)


def test_a_checkpoint_that_is_cut_off_is_not_to_be_saved_again_but_downloaded(tmp_path: Path) -> None:
    whole, path = io.BytesIO(), tmp_path / "a.ckpt"
    torch.save({"w": torch.zeros(5_000)}, whole)
    for share in (0.01, 0.5, 0.9):
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        assert "is the download complete?" in said(path)
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(5_000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "is the download complete?" in said(path)


def test_archives_and_programs_are_called_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/x.ckpt", b"1")
        archive.writestr("model/x.yaml", "a: 1")
    assert "it is an archive; unpack it, and name 'model/x.ckpt'" in said(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/code/__torch__/torch.py", b"def f(): pass")
        archive.writestr("x/data.pkl", b"\x80\2.")
    assert "TorchScript" in said(path)


def test_a_folder_is_not_called_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder, not a model"):
        resolve.find(str(tmp_path))

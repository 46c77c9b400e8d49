"""Pretrained weights: from files of two kinds, by download, or a sentence that says why not."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
from torch import Tensor

from showtell.errors import Problem, WrongUse
from showtell.model import weights
from showtell.model.backbone import IMAGENET_MEAN
from showtell.model.encoder import Encoder, build_encoder
from showtell.model.options import EncoderOptions
from showtell.model.weights import load_backbone_weights

TINY = EncoderOptions("tiny", "none")


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """The weights of some trained `tiny` backbone."""
    torch.manual_seed(5)
    return {name: tensor.contiguous() for name, tensor in Encoder(TINY, 32).backbone.state_dict().items()}


def written(path: Path, tensors: dict[str, Tensor], **notes: str) -> EncoderOptions:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path, notes)
    else:
        torch.save(tensors, path)
    return replace(TINY, encoder_weights=str(path))


def same(encoder: Encoder, tensors: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, tensors[name]) for name, tensor in encoder.backbone.state_dict().items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_weights_come_from_a_file(tmp_path: Path, tensors: dict[str, Tensor], name: str) -> None:
    options = written(tmp_path / name, tensors)
    assert same(build_encoder(options, 32), tensors)
    assert not same(build_encoder(TINY, 32), tensors)


def test_a_checkpoint_of_another_program_is_taken(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    """`state_dict` inside, `module.` before the names, half precision, no batch counters."""
    half = {f"module.{k}": v.half() for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    torch.save({"epoch": 3, "state_dict": half}, tmp_path / "w.pt")
    encoder = build_encoder(replace(TINY, encoder_weights=str(tmp_path / "w.pt")), 32)
    for name, tensor in encoder.backbone.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name], atol=1e-3, rtol=1e-3)


def test_a_file_says_how_it_wants_to_be_used(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    options = written(tmp_path / "w.safetensors", tensors, stride_in_1x1="True", input_mean="[0.1, 0.2, 0.3]", std="1, 0.5, 0.25")
    encoder = build_encoder(options, 32)
    assert encoder.options.stride_in_1x1
    assert encoder.options.pixel_mean == (0.1, 0.2, 0.3) and encoder.options.pixel_std == (1, 0.5, 0.25)
    torch.testing.assert_close(encoder.pixel_mean.flatten() / 255, torch.tensor([0.1, 0.2, 0.3]))
    by_hand = build_encoder(replace(options, stride_in_1x1=False, pixel_mean=(0.5, 0.5, 0.5)), 32).options
    assert (by_hand.stride_in_1x1, by_hand.pixel_mean, by_hand.pixel_std) == (False, (0.5, 0.5, 0.5), (1, 0.5, 0.25))


def test_a_file_that_says_nothing_is_used_as_torchvision_does(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    encoder = build_encoder(written(tmp_path / "w.safetensors", tensors), 32)
    assert encoder.options.stride_in_1x1 is False
    torch.testing.assert_close(encoder.pixel_mean.flatten() / 255, torch.tensor(IMAGENET_MEAN))


def test_the_classifier_of_a_resnet_is_left_out() -> None:
    import torchvision

    torch.manual_seed(0)
    whole = torchvision.models.resnet18(weights=None).eval()
    encoder = Encoder(EncoderOptions("resnet18", "none"), 64).eval()
    encoder.backbone.load_weights(whole.state_dict(), "resnet18")
    pictures = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    pictures[:, :, 10:40, 20:50] = 200
    with torch.no_grad():
        pooled = encoder(pictures).mean(1)
        torch.testing.assert_close(whole.fc(pooled), whole((pictures - encoder.pixel_mean) / encoder.pixel_std))


# ------------------------------------------------------------------------------------------------------- what goes wrong


def breakage(kind: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    first = next(iter(tensors))
    return {
        "lacks": {k: v for k, v in tensors.items() if k != first},
        "has an unknown": tensors | {"head.weight": torch.zeros(2)},
        "has another shape of": tensors | {first: torch.zeros(2, 2)},
    }[kind]


@pytest.mark.parametrize("kind", ["lacks", "has an unknown", "has another shape of"])
def test_weights_that_do_not_fit_are_named(tmp_path: Path, tensors: dict[str, Tensor], kind: str) -> None:
    options = written(tmp_path / "w.pt", breakage(kind, tensors))
    named = "head.weight" if kind == "has an unknown" else next(iter(tensors))
    with pytest.raises(Problem, match=rf"w\.pt does not fit this encoder: it {kind} {named};"):
        build_encoder(options, 32)


def test_many_misfits_are_counted(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    weights = [name for name in tensors if not name.endswith("num_batches_tracked")]
    with pytest.raises(Problem, match=rf"lacks {min(weights)} and {len(weights) - 1} more"):
        build_encoder(written(tmp_path / "w.pt", {f"x.{k}": v for k, v in tensors.items()}), 32)


GIANT_BYTES = b"\x80\x02cbuiltins\nbytearray\n" + b"J\x00\x00\x00\x40\x85R."
"""A pickle that asks for a gigabyte."""


def bomb(compression: int, content: bytes) -> bytes:
    """An archive as `torch.save` writes it, of a few bytes, that takes far more memory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), content, compression)
        archive.writestr(zipfile.ZipInfo("archive/version"), "3")
    return file.getvalue()


class Hostile:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.pt", b""),
        ("w.pt", b"not a file of weights"),
        ("w.pt", pickle.dumps([1, 2])),
        ("w.safetensors", b""),
        ("w.safetensors", b"\xff" * 64),
    ],
)
def test_what_is_no_weights_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Problem, match=name):
        load_backbone_weights(replace(TINY, encoder_weights=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("w.safetensors", (1 << 26).to_bytes(8, "little") + b"{", "its header claims 67,108,864 bytes"),
        ("w.pt", bomb(zipfile.ZIP_DEFLATED, b"\0" * 9_000_000), "it would unpack to 9 MiB"),
        ("w.pt", bomb(zipfile.ZIP_STORED, GIANT_BYTES), "carries code"),
        ("w.pt", GIANT_BYTES, "carries code"),
    ],
)
def test_small_files_that_ask_for_much_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(weights, "read_pt", lambda path: pytest.fail("it was opened"))
    monkeypatch.setattr(safetensors, "safe_open", lambda path, framework: pytest.fail("it was opened"))
    with pytest.raises(Problem, match=why):
        load_backbone_weights(replace(TINY, encoder_weights=str(tmp_path / name)))


def test_what_holds_no_state_dict_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": [1]}, tmp_path / "w.pt")
    with pytest.raises(Problem, match="holds no state_dict"):
        load_backbone_weights(replace(TINY, encoder_weights=str(tmp_path / "w.pt")))


def test_code_in_a_file_of_weights_does_not_run(tmp_path: Path) -> None:
    torch.save({"conv": Hostile(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(Problem, match=r"w\.pt"):
        load_backbone_weights(replace(TINY, encoder_weights=str(tmp_path / "w.pt")))
    assert not (tmp_path / "ran").exists()


def test_wrong_numbers_in_the_metadata_are_named(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    for text in ("0.5, 0.5", "grey"):
        with pytest.raises(Problem, match="three numbers"):
            build_encoder(written(tmp_path / "w.safetensors", tensors, mean=text), 32)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"no encoder weights at .*absent\.pt"):
        build_encoder(replace(TINY, encoder_weights=str(tmp_path / "absent.pt")), 32)


def test_without_network_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> NoReturn:
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(Problem) as caught:
        build_encoder(EncoderOptions("resnet18", "imagenet"), 64)
    sentence = str(caught.value)
    assert all(part in sentence for part in ("resnet18", "Temporary failure", "--encoder_weights FILE", "--encoder_weights none"))
    assert "\n" not in sentence


def test_a_download_is_of_the_first_version_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(url: str, *_: object, check_hash: bool = False, **__: object) -> dict[str, Tensor]:
        asked.append((url.rsplit("/")[-1], check_hash))
        return {}

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    load_backbone_weights(EncoderOptions("resnet50", "imagenet"))
    assert asked == [("resnet50-0676ba61.pth", True)]


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_an_unknown_encoder_is_refused_before_anything_is_fetched(weights: str) -> None:
    with pytest.raises(WrongUse, match="no encoder resnet20: choose resnet18"):
        build_encoder(EncoderOptions("resnet20", weights), 64)


def test_tiny_has_no_imagenet_weights() -> None:
    with pytest.raises(WrongUse, match="--encoder_weights none"):
        build_encoder(EncoderOptions("tiny", "imagenet"), 64)


def test_small_resnets_cannot_be_dilated() -> None:
    with pytest.raises(WrongUse, match="resnet18 cannot be dilated"):
        build_encoder(EncoderOptions("resnet18", "none", "dilated"), 64)

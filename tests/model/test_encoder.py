"""Encoders: uint8 pictures in, a grid out; what is frozen stands still."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from showtell.errors import WrongUse
from showtell.model.backbone import IMAGENET_MEAN, IMAGENET_STD
from showtell.model.encoder import Encoder, GridShape, build_encoder
from showtell.model.options import EncoderOptions

TINY = EncoderOptions("tiny", "none")


def pixels(n: int = 2, size: int = 64, seed: int = 0) -> Tensor:
    """Random pictures, uint8 N x 3 x S x S."""
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def resnet() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderOptions("resnet18", "none"), 64).eval()


@pytest.mark.parametrize("options", [EncoderOptions("resnet18", "none"), EncoderOptions("resnet50", "none"), TINY])
def test_folded_it_sees_the_same_and_the_original_stays(options: EncoderOptions) -> None:
    torch.manual_seed(0)
    encoder = Encoder(options, 64)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # fresh ones change nothing
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    folded = encoder.eval().folded()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        expected = encoder(pixels())
        torch.testing.assert_close(folded(pixels()), expected, atol=1e-5 * expected.abs().max().item(), rtol=0)
        if options is not TINY:
            maps = encoder.maps(pixels())
            torch.testing.assert_close(folded.maps(pixels()), maps, atol=1e-5 * maps.abs().max().item(), rtol=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


# -------------------------------------------------------------------------------------------------------------- the grid


@pytest.mark.parametrize(
    ("options", "size", "shape", "channels"),
    [
        (EncoderOptions("resnet50", "none"), 224, GridShape(7, 7, 4), 2048),
        (EncoderOptions("resnet50", "none", "native"), 224, GridShape(7, 7), 2048),
        (EncoderOptions("resnet50", "none", "dilated"), 224, GridShape(14, 14), 2048),
        (EncoderOptions("resnet50", "none", "dilated", stride_in_1x1=True), 224, GridShape(14, 14), 2048),
        (EncoderOptions("resnet101", "none"), 64, GridShape(2, 2, 4), 2048),
        (EncoderOptions("resnet18", "none"), 64, GridShape(2, 2, 4), 512),
        (EncoderOptions("resnet34", "none", "native"), 96, GridShape(3, 3), 512),
    ],
)
def test_shapes_of_resnets(options: EncoderOptions, size: int, shape: GridShape, channels: int) -> None:
    with torch.device("meta"):  # shapes without numbers
        encoder = Encoder(options, size)
        grid = encoder(torch.zeros(2, 3, size, size, dtype=torch.uint8))
        written_out = encoder.pooled_up(grid)
    assert (encoder.grid_shape, encoder.channels) == (shape, channels)
    assert grid.shape == (2, shape.cells, channels)
    assert written_out.shape == (2, shape.cells * shape.copies, channels)


def test_tiny_sees_scenes_as_14_by_14() -> None:
    encoder = Encoder(TINY, 112)
    assert encoder.grid_shape == GridShape(14, 14)
    assert encoder(pixels(1, 112)).shape == (1, 196, encoder.channels)


def test_pooled_up_repeats_each_cell_where_it_lies() -> None:
    with torch.device("meta"):
        encoder = Encoder(EncoderOptions("resnet18", "none"), 64)
    written_out = encoder.pooled_up(torch.tensor([1.0, 2, 3, 4]).view(1, 4, 1)).view(4, 4)
    assert written_out.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_cells_lie_row_by_row_from_the_top_left() -> None:
    """A light in the box of a cell is felt by that cell and no other."""
    encoder = Encoder(TINY, 64)
    rows, columns = encoder.grid_shape.rows, encoder.grid_shape.columns
    encoder.backbone.forward = partial(F.adaptive_avg_pool2d, output_size=(rows, columns))  # type: ignore[method-assign]
    black = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    for cell in range(encoder.grid_shape.cells):
        left, top, right, bottom = (round(64 * edge) for edge in encoder.grid_shape.box(cell))
        lit = black.clone()
        lit[:, :, top:bottom, left:right] = 255
        felt = (encoder(lit) - encoder(black)).abs().sum(-1)[0]  # cells
        assert (felt > 0.1).nonzero().tolist() == [[cell]]


def test_boxes_of_cells() -> None:
    shape = GridShape(2, 4)
    assert shape.cells == 8
    assert shape.box(0) == (0, 0, 0.25, 0.5)
    assert shape.box(6) == (0.5, 0.5, 0.75, 1)


def test_a_batch_gives_what_its_pictures_give_one_by_one(resnet: Encoder) -> None:
    batch = pixels(3)
    with torch.no_grad():
        torch.testing.assert_close(resnet(batch), torch.cat([resnet(each[None]) for each in batch]), atol=1e-4, rtol=1e-4)


def test_pixels_are_normalised_inside(resnet: Encoder) -> None:
    batch = pixels(1)
    normal = torch.stack([
        (batch[:, c] / 255 - IMAGENET_MEAN[c]) / IMAGENET_STD[c] for c in range(3)
    ], dim=1)  # fmt: skip
    with torch.no_grad():
        features = resnet.backbone(normal)  # N x C x rows x columns
        grid = resnet(batch)
    torch.testing.assert_close(grid, features.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-4)
    other = Encoder(replace(TINY, pixel_mean=(0, 0.5, 1), pixel_std=(1, 0.5, 0.1)), 64)
    torch.testing.assert_close(other.pixel_mean.flatten(), torch.tensor([0, 127.5, 255]))
    torch.testing.assert_close(other.pixel_std.flatten(), torch.tensor([255, 127.5, 25.5]))


def test_the_caffe_kind_strides_in_the_first_convolution() -> None:
    with torch.device("meta"):
        usual = Encoder(EncoderOptions("resnet50", "none"), 64).layer_groups()
        caffe = Encoder(EncoderOptions("resnet50", "none", stride_in_1x1=True), 64).layer_groups()
    for stage, stride in (("layer1", 1), ("layer2", 2), ("layer3", 2), ("layer4", 2)):
        strides = [[getattr(groups[stage][0], c).stride[0] for c in ("conv1", "conv2")] for groups in (usual, caffe)]
        assert strides == [[1, stride], [stride, 1]]


def test_encoder_dim_is_checked() -> None:
    assert Encoder(replace(TINY, encoder_dim=Encoder(TINY, 32).channels), 32)
    with pytest.raises(WrongUse, match="encoder_dim is 2048, but tiny gives"):
        Encoder(replace(TINY, encoder_dim=2048), 32)


# ------------------------------------------------------------------------------------------------------------- freezing


def training_groups(encoder: Encoder) -> list[str]:
    """Names of the groups whose weights train; each trains wholly or not at all."""
    trains = {name: {p.requires_grad for p in group.parameters()} for name, group in encoder.layer_groups().items()}
    assert all(len(found) == 1 for found in trains.values())
    return [name for name, found in trains.items() if found == {True}]


@pytest.mark.parametrize("encoder", ["tiny", "resnet18"])
def test_groups_train_from_the_output_backwards(encoder: str) -> None:
    with torch.device("meta"):
        built = Encoder(EncoderOptions(encoder, "none"), 64)
    names = list(built.layer_groups())
    everything = {id(p) for p in built.parameters()}
    assert {id(p) for group in built.layer_groups().values() for p in group.parameters()} == everything
    assert training_groups(built) == names[-1:]  # the default: the last stage fine-tunes
    for groups in (0, 1, 2, len(names), 99):
        built.freeze()
        built.unfreeze(groups)
        assert training_groups(built) == names[max(0, len(names) - groups) :]
        assert built.frozen == (groups == 0)


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        ({}, False),
        ({"unfrozen_groups": 0}, True),
        ({"freeze_encoder": True}, True),
        ({"freeze_encoder": True, "unfrozen_groups": 9}, True),
    ],
)
def test_options_say_what_is_frozen(options: dict[str, int], frozen: bool) -> None:
    with torch.device("meta"):
        assert Encoder(replace(TINY, **options), 32).frozen == frozen


def test_statistics_of_frozen_groups_stand_still() -> None:
    encoder = Encoder(replace(TINY, unfrozen_groups=1), 32)
    for mode in (True, False):
        encoder.train(mode)
        before = {name: buffer.clone() for name, buffer in encoder.backbone.named_buffers()}
        encoder(pixels(4, 32))
        moved = {name.split(".")[0] for name, buffer in encoder.backbone.named_buffers() if not torch.equal(buffer, before[name])}
        assert moved == ({list(encoder.layer_groups())[-1]} if mode else set())


def test_statistics_can_stand_still_where_weights_train() -> None:
    encoder = Encoder(replace(TINY, unfrozen_groups=9, frozen_statistics=True), 32).train()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(pixels(4, 32)).square().mean().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_freezing_in_the_midst_of_training_stops_statistics_too() -> None:
    encoder = Encoder(replace(TINY, unfrozen_groups=9), 32).train()
    encoder.freeze()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(pixels(4, 32))
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())


def test_gradients_reach_the_groups_that_train_and_no_others() -> None:
    encoder = Encoder(replace(TINY, unfrozen_groups=1), 32).train()
    encoder(pixels(2, 32)).square().mean().backward()
    for group in encoder.layer_groups().values():
        for parameter in group.parameters():
            assert (parameter.grad is not None) == parameter.requires_grad


# ------------------------------------------------------------------------------------------------------------ cut in two


@pytest.mark.parametrize("trained", [0, 1, 2, 4])
def test_what_is_frozen_and_the_rest_make_the_whole(trained: int) -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("resnet18", "none", unfrozen_groups=trained), 64).eval()
    assert list(encoder.frozen_groups()) == ["stem", "layer1", "layer2", "layer3", "layer4"][: 5 - trained]
    assert encoder.can_be_cut
    maps = encoder.maps(pixels())
    side, channels = {0: (2, 512), 1: (4, 256), 2: (8, 128), 4: (16, 64)}[trained]
    assert maps.shape == (2, side, side, channels)
    assert torch.equal(encoder.from_maps(maps), encoder(pixels()))


def test_what_trains_wholly_or_branches_cannot_be_cut() -> None:
    with torch.device("meta"):
        assert not Encoder(EncoderOptions("resnet18", "none", unfrozen_groups=5), 64).can_be_cut
        assert not Encoder(TINY, 32).can_be_cut  # its last group sees places beside the maps


# ------------------------------------------------------------------------------------------------------ a real network


def test_a_real_resnet50_sees(shared: Path) -> None:
    """Loads, strides as its file says, gives 7 x 7 cells that each count four times, and tells pictures apart."""
    from PIL import Image

    from showtell.pictures import PictureOptions, open_picture, shape

    options = EncoderOptions("resnet50", str(shared / "weights" / "resnet50_v1.safetensors"), freeze_encoder=True)
    encoder = build_encoder(options, 224).eval()
    assert encoder.options.stride_in_1x1
    assert encoder.options.pixel_mean == pytest.approx((0.4850196, 0.4579569, 0.4076039))
    assert encoder.grid_shape == GridShape(7, 7, 4)
    paths = sorted((shared / "data" / "flickr8k").rglob("*.jpg"))[:1]
    pictures = [open_picture(path) for path in paths] + [Image.new("RGB", (50, 50), "grey")]
    batch = torch.stack([torch.from_numpy(shape(each, PictureOptions())[0]).permute(2, 0, 1) for each in pictures])
    with torch.no_grad():
        grid = encoder(batch)
    assert grid.shape == (len(batch), 49, 2048)
    assert (grid >= 0).all() and grid.isfinite().all()
    assert grid[0].std() > 2 * grid[-1].std() > 0  # what is in a photograph excites more than grey

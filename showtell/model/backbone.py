"""What every backbone is: the part of an encoder that turns pictures into feature maps."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from showtell.errors import Problem

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Normalised pictures N x 3 x S x S in, feature maps N x C x rows x columns out."""

    fine_grid = False
    """Whether its own grid is fine already and is not pooled up."""
    chained = False
    """Whether each of its groups takes what the one before gives, so that it can be cut between any two."""
    pixel_mean, pixel_std = IMAGENET_MEAN, IMAGENET_STD
    """Of red, green, blue in 0..1: what it was trained to have subtracted and divided by, unless its weights say otherwise."""

    def forward(self, pictures: Tensor) -> Tensor:
        raise NotImplementedError

    def layer_groups(self) -> dict[str, nn.Module]:
        """Groups of layers by name, from input to output."""
        raise NotImplementedError

    @property
    def knows_classes(self) -> bool:
        """Whether `classify` can name what a picture shows."""
        return False

    def classify(self, grid: Tensor) -> Tensor:
        """Log-probabilities of ImageNet's classes (N x 1000) from the map as a grid (N x cells x C)."""
        raise NotImplementedError

    def forget_classes(self) -> None:
        """What the classes were read from is about to change; nothing to do where there are none."""

    def load_weights(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Takes over weights; `source` is what a message calls them.

        Raises:
            Problem: they do not fit.
        """
        load_whole(self, tensors, source)


def load_whole(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Gives a network the weights of these names, all of them and no others; `source` is what a message calls them.

    Raises:
        Problem: they do not fit.
    """
    wanted = module.state_dict()
    # Old files lack the batch counters, which nothing here reads.
    given = dict(tensors) | {
        name: tensor for name, tensor in wanted.items() if name.endswith("num_batches_tracked") and name not in tensors
    }
    missing, unknown = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    other = sorted(name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape)
    for names, what in ((missing, "lacks"), (unknown, "has an unknown"), (other, "has another shape of")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise Problem(f"{source} does not fit this encoder: it {what} {names[0]}{more}; name the encoder it was made for.")
    module.load_state_dict(given)

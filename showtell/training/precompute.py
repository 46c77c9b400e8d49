"""The feature cache filled ahead of training: on another day, or by several machines that share a disk."""

from __future__ import annotations

from accelerate.utils import set_seed

from showtell.data.readers import read_records
from showtell.data.splits import split_records
from showtell.errors import WrongUse
from showtell.files import cache_folder
from showtell.model.encoder import build_encoder
from showtell.model.hub import load_model
from showtell.training.log import say
from showtell.training.models import loaded_model
from showtell.training.plan import Plan
from showtell.training.run import build_accelerator, sources
from showtell.training.unfreezing import Unfreezing
from showtell.vocabulary import SPECIALS, Vocabulary


def precompute_features(plan: Plan) -> None:
    """Computes what a training run of this plan would compute before its first step; what is there already stays.

    A call that is killed leaves the files that it finished; several calls at once share the work.

    Raises:
        WrongUse: no part of the encoder is to be cached.
        Problem: no data, no weights, or too little disk.
    """
    options = plan.training
    accelerator = build_accelerator(options)
    splits = split_records(read_records(plan.data), plan.data, options.seed)
    set_seed(options.seed)  # as training does, for an encoder without weights
    if options.pretrained_path is None:
        encoder = build_encoder(plan.encoder, plan.pictures.picture_size)
    else:
        encoder, _ = loaded_model(load_model(options.pretrained_path), plan)
    Unfreezing(encoder, options.unfreeze)  # what trains later is no more cached than what trains from the start
    if not options.cache_features or not (encoder.frozen or options.cache_maps):
        raise WrongUse("nothing of this encoder would be cached: freeze it (--freeze_encoder), or cache its maps (--cache_maps).")
    no_words = Vocabulary(SPECIALS)  # features do not depend on them
    training, validation = sources(splits, no_words, encoder, plan, accelerator)
    say(
        f"The features of {len(training):,} training and {len(validation):,} validation pictures are in "
        f"{cache_folder() / 'features'}: showtell train with the same settings reads them.",
        options.quiet,
    )

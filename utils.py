"""For scripts and notebooks: `from utils import load_pretrained_model`. UTILS_REFERENCE.md shows each of these at work."""

# fmt: off
from showtell.utilities import (
    EarlyStopping,
    Vocabulary,
    accuracy,
    adapt_vocab_size,
    adjust_learning_rate,
    beam_search_caption,
    build_vocab,
    clip_gradients,
    count_parameters,
    freeze_model,
    generate_caption,
    get_trainable_params,
    load_checkpoint,
    load_image,
    load_pretrained_model,
    load_vocab,
    print_model_info,
    save_pretrained_model,
    save_vocab,
    unfreeze_model,
    visualize_attention,
)

__all__ = [
    "EarlyStopping", "Vocabulary", "accuracy", "adapt_vocab_size", "adjust_learning_rate", "beam_search_caption", "build_vocab",
    "clip_gradients", "count_parameters", "freeze_model", "generate_caption", "get_trainable_params", "load_checkpoint",
    "load_image", "load_pretrained_model", "load_vocab", "print_model_info", "save_pretrained_model", "save_vocab",
    "unfreeze_model", "visualize_attention",
]

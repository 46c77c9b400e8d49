"""The defaults of train.py, finetune.py, export_pretrained.py and inference.py, to be edited here.

A YAML file (--config FILE) and flags (--batch_size 16) stand above what is set here. Any other setting that
`python train.py --help` explains can be added in upper case as well, for instance ENCODER = "resnet34" or MIN_FREQUENCY = 3.
finetune.py takes from here what is neither the model's nor of its first training: not VOCAB_PATH, LEARNING_RATE,
NUM_EPOCHS, BATCH_SIZE, GRAD_CLIP or the sizes.
The command `showtell` does not read this file; it has the same defaults.
"""


class Config:
    """What the scripts do when nothing else is said."""

    # Where things lie; relative paths start from the folder in which the script is called.
    DATA_DIR = "data/coco2014"  # captioned pictures in COCO's layout: `showtell data coco2014` downloads them there
    CHECKPOINT_DIR = "checkpoints"  # the run: log, settings, best_model.pt, last_model.pt
    PRETRAINED_DIR = "pretrained_models"  # finished models, to be given away
    VOCAB_PATH = "vocab.pkl"  # built from the training captions if it is not there

    # Training
    BATCH_SIZE = 32  # pictures in a batch, each with ALL its captions: 32 pictures of COCO are 160 captions
    LEARNING_RATE = 4e-4  # of the decoder; ENCODER_LEARNING_RATE is the encoder's
    NUM_EPOCHS = 50  # at most; early stopping may end it sooner
    GRAD_CLIP = 5.0  # largest norm of all gradients together; 0 does not clip
    EARLY_STOP_PATIENCE = 5  # epochs without progress of the validation loss after which training stops
    MIN_DELTA = 0.001  # a validation loss counts as progress for that if it is lower by this much

    # The model
    EMBED_SIZE = 512  # length of a word's vector
    HIDDEN_SIZE = 512  # length of the LSTM's hidden state
    ATTENTION_DIM = 512  # length of the vectors in which a cell of the grid and the state are compared
    ENCODER_DIM = 2048  # channels of the encoder's grid; a check only, dropped when another encoder is named by flag or YAML
    DROPOUT = 0.5  # share of the hidden state dropped before the vocabulary layer, in training

    # The machine
    DEVICE = "auto"  # auto (cuda, then mps, then cpu), cpu, cuda or mps

"""Captions to words and words to numbers: tokenisers, and the vocabulary that a model carries with it.

The word tokeniser is close in effect to what COCO's scorer does to captions before it counts (the Stanford PTB tokeniser,
punctuation removed afterwards): lower case, no punctuation, "dog's" as `dog 's` and "isn't" as `is n't`.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import pickletools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.files import as_utf8, written_whole

Tokenizer = Literal["word", "character"]

PAD, START, END, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")

LARGEST_FILE = 8 * 2**20
"""Bytes of a vocabulary file that are read at most; COCO's words take 100 kB."""


@dataclass(frozen=True)
class VocabularyOptions:
    """Which words a captioner knows; they come from the training captions only."""

    tokenizer: Tokenizer = "word"
    """word: split at spaces and punctuation; character: for Chinese and Japanese, one character a token."""
    min_frequency: int = 5
    """A word joins the vocabulary when the training captions hold it at least this often."""
    max_words: int = 0
    """At most this many words, the most frequent ones (special tokens not counted); 0 sets no limit."""

    def problems(self) -> list[str]:
        found = []
        if self.tokenizer not in get_args(Tokenizer):
            found.append(f"tokenizer is {self.tokenizer!r}; it must be word or character.")
        if self.min_frequency < 1:
            found.append(f"min_frequency is {self.min_frequency}; it must be at least 1.")
        if self.max_words < 0:
            found.append(f"max_words is {self.max_words}; it must be at least 1, or 0 for no limit.")
        return found


# ---------------------------------------------------------------------------------------------------------- tokenisers


class _Characters(dict[int, int | str | None]):
    """A table for `str.translate` that learns as it goes: what is neither letter, mark, number nor joiner becomes a space."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        keep = unicodedata.category(character)[0] in "LMN" or character in "'-.,:/\u200c\u200d"
        self[code] = result = code if keep else " "
        return result


_CHARACTERS = _Characters(
    dict.fromkeys(map(ord, "’‘ʼ＇´`"), "'")  # all that people type for an apostrophe
    | dict.fromkeys(map(ord, "‐‑－"), "-")
    | {code: code - 0xFEE0 for code in [*range(0xFF10, 0xFF1A), *range(0xFF41, 0xFF5B)]}  # full-width digits and letters
    | dict.fromkeys(map(ord, "\u00ad\u0640\u200b\u200e\u200f\ufeff"))  # soft hyphen, Arabic stretching, invisible marks: gone
)

# After that table a letter is whatever is not a space or a joiner: Python's \w would break words at Arabic and Indian marks.
_LETTER = r"[^\s'\-.,:/]"
_CLITIC = r"(?:n't|'(?:s|re|ve|ll|d|m))"
_CLITICS = frozenset(["n't", "'s", "'re", "'ve", "'ll", "'d", "'m"])
_SPLIT_CLITIC = re.compile(rf"({_CLITIC})(?!{_LETTER}|['-])")
_WORD = re.compile(
    rf"{_CLITIC}(?!{_LETTER}|['-])"
    rf"|\d+(?:[.,:/]\d+)+(?!{_LETTER})"  # 12:45, 1,000, 3/4
    r"|(?<!\S)(?:[^\W\d_]\.){2,}(?!\S)"  # u.s.
    rf"|{_LETTER}+(?:['-]{_LETTER}+)*"  # well-known, o'clock
)
# Kana, bopomofo and ideographs: what is written without spaces. Korean has spaces, and is for the word tokeniser.
_CHARACTER = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_NO_SPACE_BEFORE = frozenset(",.;:!?%)]}…،؛؟。、，．：；！？")


def tokenise(text: str, tokenizer: Tokenizer = "word") -> list[str]:
    """The tokens of a caption: lower case, in Unicode's composed form (NFC), without punctuation.

    Hyphens and apostrophes inside words and what joins the digits of a number stay; English clitics are tokens of their own
    ("dog's" is `dog 's`). With "character", each Chinese or Japanese character is one token, and all else is as with "word".
    A special token never comes out: `<` and `>` are punctuation.
    """
    return [token for chunk in text.lower().split() for token in _pieces(chunk, tokenizer)]


@lru_cache(maxsize=2**15)
def _pieces(chunk: str, tokenizer: Tokenizer) -> list[str]:
    """The tokens of what stands between two spaces; remembered, since captions say the same words again and again."""
    text = unicodedata.normalize("NFC", chunk).translate(_CHARACTERS)
    if tokenizer == "character":
        text = _CHARACTER.sub(r" \g<0> ", text)
    if "'" in text:
        text = _SPLIT_CLITIC.sub(r" \1", text)
    return _WORD.findall(text)


def sentence(words: Sequence[str], tokenizer: Tokenizer = "word") -> str:
    """What a person reads: a capital first, no space before punctuation and clitics, none in Chinese and Japanese.

    With "word", words stand apart by spaces as they did in the captions (also Chinese that was segmented beforehand).
    """
    text = ""
    for word in words:
        apart = text and word not in _CLITICS and word not in _NO_SPACE_BEFORE
        if tokenizer == "character" and apart:
            apart = not (_CHARACTER.match(text[-1]) or _CHARACTER.match(word))
        text += f" {word}" if apart else word
    return text[:1].title() + text[1:]


# ---------------------------------------------------------------------------------------------------------- vocabulary


@dataclass(frozen=True)
class Vocabulary:
    """The words that a captioner knows, by number.

    `words[i]` is the word with index i; the first four are `SPECIALS`. `captions_hash` tells which captions the words came
    from (`None`: not known), `min_frequency` and `max_words` how they were chosen. `written` tells which words have capitals
    inside a sentence, German nouns for instance: `{"hund": "Hund"}`; captions are learnt and scored in lower case.

    Raises:
        ValueError: the words are not text, not unique, or do not begin with the special tokens; the tokeniser is unknown; a word
            is written with other letters.
    """

    words: tuple[str, ...]
    tokenizer: Tokenizer = "word"
    captions_hash: str | None = None
    min_frequency: int | None = None
    max_words: int | None = None
    written: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        if not all(isinstance(word, str) and word for word in self.words):
            raise ValueError("not every word is a text")
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise ValueError(f"the words do not begin with {' '.join(SPECIALS)}")
        if len(self._indices) != len(self.words):
            raise ValueError("a word occurs twice")
        if self.tokenizer not in get_args(Tokenizer):  # not told which: in a stranger's file it may be anything, and endless
            raise ValueError(f"the tokenizer is none of {', '.join(get_args(Tokenizer))}")
        if not isinstance(self.captions_hash, str | None):
            raise ValueError("the hash of the captions is not a text")
        if not isinstance(self.min_frequency, int | None) or not isinstance(self.max_words, int | None):
            raise ValueError("min_frequency or max_words is not a whole number")
        if not isinstance(self.written, Mapping) or not all(
            isinstance(form, str) and form.lower() == word for word, form in self.written.items()
        ):
            raise ValueError("a word is written with other letters")

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def index(self, word: str) -> int:
        """The word's number; that of `<unk>` for a word that is not in the vocabulary."""
        return self._indices.get(word, UNK)

    def encode(self, caption: str) -> list[int]:
        """`<start>`, the caption's words, `<end>`, as numbers."""
        return [START, *(self._indices.get(word, UNK) for word in tokenise(caption, self.tokenizer)), END]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of `ids` up to the first `<end>`, without `<start>` and `<pad>`; `<unk>` stays.

        Raises:
            IndexError: a number is not in the vocabulary.
        """
        words = []
        for number in map(int, ids):
            if number == END:
                break
            if not 0 <= number < len(self.words):
                raise IndexError(f"{number} is not the number of a word; the vocabulary has {len(self.words)}")
            if number not in (PAD, START):
                words.append(self.words[number])
        return words

    def sentence(self, words: Sequence[str]) -> str:
        """What a person reads; see the function `sentence`."""
        return sentence([self.written.get(word, word) for word in words], self.tokenizer)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) of the tokeniser and the words in their order: equal where captions get equal numbers."""
        return hashlib.sha256(json.dumps([self.tokenizer, *self.words]).encode()).hexdigest()

    def check_captions(self, captions_hash: str, path: Path) -> None:
        """See that the vocabulary, read from `path`, came from the captions with this hash; one of unknown origin passes.

        Raises:
            WrongUse: it came from other captions.
        """
        if self.captions_hash not in (None, captions_hash):
            raise WrongUse(
                f"The vocabulary {path} was made from other captions than these training captions; "
                "name another vocabulary file, or remove this one to have it made anew."
            )

    def check_options(self, options: VocabularyOptions, path: Path) -> None:
        """See that the vocabulary, read from `path`, was made with these options, so that none is silently ignored.

        Raises:
            WrongUse: an option differs; the sentence names it.
        """
        for name in ("tokenizer", "min_frequency", "max_words"):
            made, asked = getattr(self, name), getattr(options, name)
            if made is not None and made != asked:
                raise WrongUse(
                    f"The vocabulary {path} was made with {name} {made}, not {asked}; "
                    "name another vocabulary file, or remove this one to have it made anew."
                )

    def to_dict(self) -> dict[str, Any]:
        """Built-in types only: what the files hold."""
        return {
            "format": "showtell vocabulary",
            "version": 1,
            "tokenizer": self.tokenizer,
            "min_frequency": self.min_frequency,
            "max_words": self.max_words,
            "captions_hash": self.captions_hash,
            "words": list(self.words),
            "written": dict(self.written),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Vocabulary:
        """The inverse of `to_dict`.

        Raises:
            ValueError: the data are not a vocabulary's; the message can stand inside a sentence.
        """
        if not isinstance(data, dict) or data.get("format") != "showtell vocabulary":
            raise ValueError("it is something else")
        if data.get("version") != 1:
            raise ValueError("its version is not 1, and a newer showtell may have written it")
        if not isinstance(data.get("words"), list):
            raise ValueError("it lists no words")
        fields = ("words", "tokenizer", "captions_hash", "min_frequency", "max_words", "written")
        return cls(**{name: data[name] for name in fields if name in data})


def captions_hash(captions: Iterable[str]) -> str:
    """SHA-256 (hex) of the captions in their order."""
    digest = hashlib.sha256()
    for caption in captions:
        digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def build_vocabulary(captions: Iterable[str], options: VocabularyOptions) -> Vocabulary:
    """The words of the captions, the most frequent first, words of equal frequency in alphabetical order.

    Raises:
        WrongUse: there are no captions, or no word is frequent enough.
    """
    captions = list(captions)
    beginning, inside = _chunks(captions)
    frequency: Counter[str] = Counter()
    for chunk, count in (beginning + inside).items():  # far fewer than words, and each is taken apart once
        for word in _pieces(chunk.lower(), options.tokenizer):
            frequency[word] += count
    frequent = [word for word, count in frequency.items() if count >= options.min_frequency]
    if not frequent:
        raise WrongUse(
            f"No word occurs {options.min_frequency} times in the {len(captions)} training captions; set a lower min_frequency, "
            "or, for Chinese or Japanese, the character tokenizer."
        )
    frequent.sort(key=lambda word: (-frequency[word], word))
    if options.max_words:
        frequent = frequent[: options.max_words]
    chosen = (*SPECIALS, *frequent)
    written = _capitals(inside, frozenset(chosen), options.tokenizer)
    return Vocabulary(chosen, options.tokenizer, captions_hash(captions), options.min_frequency, options.max_words, written)


def _chunks(captions: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """How often each thing between two spaces begins a sentence, and how often it stands inside one."""
    beginning: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for caption in captions:
        chunks = caption.split()
        beginning.update(chunks[:1])
        if ". " in caption or "! " in caption or "? " in caption:  # few have a second sentence
            for before, chunk in pairwise(chunks):
                (beginning if before[-1] in ".!?" else inside)[chunk] += 1
        else:
            inside.update(chunks[1:])
    return beginning, inside


def _capitals(chunks: Counter[str], words: Set[str], tokenizer: Tokenizer) -> dict[str, str]:
    """Of these words, those that mostly have capitals inside sentences: word -> how it is written there."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for chunk, count in chunks.items():
        for form in _pieces(chunk, tokenizer):
            if (word := form.lower()) in words:
                forms[word][form] += count
    usual = {word: max(sorted(counts), key=counts.__getitem__) for word, counts in forms.items()}
    return {word: form for word, form in sorted(usual.items()) if form != word}


# --------------------------------------------------------------------------------------------------------------- files


def save_vocab(vocabulary: Vocabulary, path: Path | str) -> None:
    """Write the vocabulary as JSON (`.json`) or as a pickle of built-in types (`.pkl`), whole or not at all.

    Raises:
        WrongUse: the name ends otherwise.
        Problem: the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".json":
        content = as_utf8(json.dumps(vocabulary.to_dict(), ensure_ascii=False, indent=0) + "\n")
    elif path.suffix == ".pkl":
        content = pickle.dumps(vocabulary.to_dict(), protocol=4)
    else:
        raise WrongUse(f"A vocabulary is written as .json or .pkl, and {path} ends otherwise; name it so.")
    with disk_sentences(path), written_whole(path) as file:
        file.write(content)


def load_vocab(path: Path | str) -> Vocabulary:
    """Read what `save_vocab` wrote; nothing in the file is executed.

    Raises:
        Problem: the file is not there, broken, too large, of another kind, or a pickle that wants to run something.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Problem(f"{path} is larger than {LARGEST_FILE >> 20} MB, too large for a vocabulary; name another file.")
        content = path.read_bytes()
    except OSError as error:
        raise Problem(f"The vocabulary {path} cannot be read ({error.strerror}); name another file or train first.") from error
    try:
        return Vocabulary.from_dict(_plain_json(content) if content.lstrip()[:1] == b"{" else _plain_pickle(content))
    except _WantsCode as error:
        raise Problem(f"{path} wants to run code ({error}) and was not opened; take a vocabulary that showtell wrote.") from None
    except ValueError as error:
        raise Problem(f"{path} is no vocabulary of showtell: {error}; take one that showtell wrote.") from error


def _plain_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is broken or of another kind") from error


class _WantsCode(Exception):
    """A pickle names a class or function."""


class _PlainUnpickler(pickle.Unpickler):
    """Opens pickles of built-in types, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        raise _WantsCode(f"{module}.{name}")


def _plain_pickle(content: bytes) -> Any:
    """The built-in values in a pickle; ValueError where it is broken, `_WantsCode` where it names a class or function."""
    try:
        # Reading the opcodes first finds lengths beyond the file and memo numbers that would allocate gigabytes.
        for opcode, argument, _ in pickletools.genops(content):
            if "PUT" in opcode.name and not (isinstance(argument, int) and 0 <= argument <= len(content)):
                raise ValueError
        return _PlainUnpickler(io.BytesIO(content)).load()
    except _WantsCode:
        raise
    except Exception as error:  # a hostile pickle can raise anything
        raise ValueError("it is broken or of another kind") from error

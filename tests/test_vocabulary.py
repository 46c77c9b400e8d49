"""Tokenisers, the vocabulary's order, and files that are refused in one sentence."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell import vocabulary as module
from showtell.errors import Problem, WrongUse
from showtell.vocabulary import (
    END,
    PAD,
    SPECIALS,
    START,
    UNK,
    Vocabulary,
    VocabularyOptions,
    build_vocabulary,
    captions_hash,
    load_vocab,
    save_vocab,
    sentence,
    tokenise,
)

CAPTIONS = ["A dog runs.", "The dog's ball", "a dog and a cat", "A cat runs"]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_vocabulary(CAPTIONS, VocabularyOptions(min_frequency=2))


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("A black dog, running.", "a black dog running"),
        ("The dog's ball isn't here; they're gone", "the dog 's ball is n't here they 're gone"),
        ("dogs' toys and a 'sign' at 5 o'clock", "dogs toys and a sign at 5 o'clock"),
        ("A man’s T-shirt", "a man 's t-shirt"),
        ("A well-known close-up -- of it - yes", "a well-known close-up of it yes"),
        ("At 12:45, 1,000 of 3.5 (3/4).", "at 12:45 1,000 of 3.5 3/4"),
        ("a black/white dog.next to e-mail@home", "a black white dog next to e-mail home"),
        ("Über die grüne Straße läuft ein Mädchen!", "über die grüne straße läuft ein mädchen"),
        ("u\u0308ber A\u0301", "über á"),
        ("كلبان يلعبان معًا، في الثلج", "كلبان يلعبان معًا في الثلج"),
        ("كـــلب", "كلب"),
        ("एक कुत्ता दौड़ता है।", "एक कुत्ता दौड़ता है"),
        ("a <end> of <start>ing <pad>", "a end of start ing pad"),
        ("two\nlines\tand tabs\u00a0too", "two lines and tabs too"),
        ("", ""),
        (" ... !?", ""),
    ],
)
def test_words(caption: str, tokens: str) -> None:
    assert tokenise(caption) == unicodedata.normalize("NFC", tokens).split()


@pytest.mark.parametrize(
    ("caption", "tokens", "read"),
    [
        ("在雪地中奔跑的狗。", "在 雪 地 中 奔 跑 的 狗", "在雪地中奔跑的狗"),
        ("２只狗，穿Ｔ恤。", "2 只 狗 穿 t 恤", "2只狗穿t恤"),
        ("iPhone 15 Pro和狗", "iphone 15 pro 和 狗", "Iphone 15 pro和狗"),
        ("カメラを持つ人", "カ メ ラ を 持 つ 人", "カメラを持つ人"),
    ],
)
def test_characters(caption: str, tokens: str, read: str) -> None:
    assert tokenise(caption, "character") == tokens.split()
    assert sentence(tokens.split(), "character") == read


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["a", "dog", "'s", "ball", "is", "n't", "red"], "A dog's ball isn't red"),
        (["a", "dog", ",", "a", "cat", "."], "A dog, a cat."),
        (["über", "der", "wiese"], "Über der wiese"),
        (["白", "狗"], "白 狗"),  # segmented beforehand
        ([], ""),
    ],
)
def test_sentence(words: list[str], read: str) -> None:
    assert sentence(words) == read


@given(st.text(alphabet="abné 狗犬ー'’-.<>12,معًا", max_size=30), st.sampled_from(["word", "character"]))
def test_any_text_gives_plain_tokens(text: str, tokenizer: module.Tokenizer) -> None:
    for token in tokenise(text, tokenizer):
        assert token and not token.isspace() and not set(token) & set(" <>\n")
        assert token == unicodedata.normalize("NFC", token)


@given(st.lists(st.sampled_from(["dog", "cat's", "isn't", "o'clock", "T-shirt", "12:45", "Straße", "u.s.", "'"])).map(" ".join))
def test_reading_a_sentence_again_gives_its_words(caption: str) -> None:
    words = tokenise(caption)
    assert tokenise(sentence(words)) == words


def test_words_are_those_that_coco_scores(shared: Path) -> None:
    with gzip.open(shared / "data/coco/ptb_gold.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    equal = sum(" ".join(tokenise(raw)) == gold for _, raw, gold in rows)
    assert equal / len(rows) > 0.997


def test_order_is_frequency_then_alphabet(vocabulary: Vocabulary) -> None:
    assert vocabulary.words == (*SPECIALS, "a", "dog", "cat", "runs")
    assert len(vocabulary) == 8


def test_options_limit_the_words() -> None:
    assert build_vocabulary(CAPTIONS, VocabularyOptions(min_frequency=1, max_words=2)).words == (*SPECIALS, "a", "dog")
    with pytest.raises(WrongUse, match="No word occurs 9 times in the 4 training captions"):
        build_vocabulary(CAPTIONS, VocabularyOptions(min_frequency=9))
    assert len(VocabularyOptions("syllable", 0, -1).problems()) == 3  # type: ignore[arg-type]
    assert VocabularyOptions().problems() == []


def test_encode_and_decode(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("A dog runs home")
    assert ids == [START, 4, 5, 7, UNK, END]
    assert vocabulary.decode([*ids, PAD, 4]) == ["a", "dog", "runs", "<unk>"]
    assert vocabulary.sentence(["a", "dog"]) == "A dog"
    assert vocabulary.index("dog") == 5 and vocabulary.index("zebra") == UNK and vocabulary.index("<end>") == END
    with pytest.raises(IndexError, match="8 is not the number of a word"):
        vocabulary.decode([8])


def test_captions_cannot_bring_special_tokens() -> None:
    captions = ["<end> <end> end", "＜end＞"]
    vocabulary = build_vocabulary(captions, VocabularyOptions(min_frequency=1))
    assert vocabulary.words == (*SPECIALS, "end")
    assert vocabulary.encode("<end> <pad>") == [START, 4, UNK, END]


def test_checksum_tells_words_and_tokeniser_apart(vocabulary: Vocabulary) -> None:
    same = Vocabulary(vocabulary.words)
    assert same.checksum == vocabulary.checksum
    assert Vocabulary(vocabulary.words, "character").checksum != same.checksum
    assert Vocabulary(vocabulary.words[:-1]).checksum != same.checksum


def test_other_captions_and_options_are_refused_by_name(vocabulary: Vocabulary) -> None:
    path = Path("vocab.pkl")
    vocabulary.check_captions(captions_hash(CAPTIONS), path)
    vocabulary.check_options(VocabularyOptions(min_frequency=2), path)
    with pytest.raises(WrongUse, match=r"vocab.pkl was made from other captions"):
        vocabulary.check_captions(captions_hash(CAPTIONS[::-1]), path)
    with pytest.raises(WrongUse, match=r"vocab.pkl was made with min_frequency 2, not 3"):
        vocabulary.check_options(VocabularyOptions(min_frequency=3), path)


@pytest.mark.parametrize("name", ["vocab.json", "vocab.pkl"])
def test_files_give_back_what_was_saved(name: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    save_vocab(vocabulary, tmp_path / name)
    assert load_vocab(tmp_path / name) == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(protocol: int, vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "vocab.pkl").write_bytes(pickle.dumps(vocabulary.to_dict(), protocol=protocol))
    assert load_vocab(tmp_path / "vocab.pkl") == vocabulary


def test_only_json_and_pkl_are_written(vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"written as .json or .pkl"):
        save_vocab(vocabulary, tmp_path / "vocab.txt")


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("run-by-the-pickle",)


def test_a_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        Path("vocab.pkl").write_bytes(pickle.dumps({"words": Hostile()}, protocol=protocol))
        with pytest.raises(Problem, match=r"vocab.pkl wants to run code \(\w+.mkdir\) and was not opened"):
            load_vocab("vocab.pkl")
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.pkl"]


ENDLESS: list[object] = []
"""A file holds it in some hundred bytes, and it takes all memory to print."""
for _ in range(30):
    ENDLESS = 10 * [ENDLESS]


def vocabulary_file(**changes: object) -> bytes:
    good = Vocabulary((*SPECIALS, "a"), "word", "hash", 5, 0).to_dict()
    return json.dumps(good | changes).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "broken"),
        (b"\x00\x01", "broken"),
        (b"{", "broken"),
        (b"{" * 100_000, "broken"),
        (b'{"a":' * 100_000, "broken"),
        (b"\x80\x04", "broken"),
        (pickle.dumps({"words": ["a"] * 9}, 4)[:-3], "broken"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "broken"),  # a memo number that would take 16 GB
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.", "broken"),  # a bytearray of 2^63 bytes
        (pickle.dumps(["a", "b"]), "something else"),
        (pickle.dumps({"word2idx": {"a": 1}}), "something else"),
        (vocabulary_file(version=2), "its version is not 1"),
        (vocabulary_file(words="a"), "lists no words"),
        (vocabulary_file(words=["a", "b"]), "do not begin with <pad> <start> <end> <unk>"),
        (vocabulary_file(words=[*SPECIALS, "a", "a"]), "occurs twice"),
        (vocabulary_file(words=[*SPECIALS, ["a"]]), "not every word is a text"),
        (vocabulary_file(tokenizer=["word"]), "tokenizer"),
        (pickle.dumps(json.loads(vocabulary_file()) | {"tokenizer": ENDLESS}), "tokenizer"),
        (pickle.dumps(json.loads(vocabulary_file()) | {"version": ENDLESS}), "version"),
        (vocabulary_file(captions_hash=3), "hash"),
        (vocabulary_file(min_frequency="5"), "min_frequency"),
    ],
)
def test_broken_and_foreign_files(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.pkl"
    path.write_bytes(content)
    with pytest.raises(Problem, match=why) as problem:
        load_vocab(path)
    assert str(path) in str(problem.value) and "\n" not in str(problem.value)


def test_absent_and_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem, match=r"absent.pkl cannot be read \(No such file"):
        load_vocab(tmp_path / "absent.pkl")
    with pytest.raises(Problem, match="cannot be read"):
        load_vocab(tmp_path)
    monkeypatch.setattr(module, "LARGEST_FILE", 2**20)
    (tmp_path / "vocab.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(Problem, match="larger than 1 MB"):
        load_vocab(tmp_path / "vocab.json")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_a_sentence(content: bytes) -> None:
    try:
        module._plain_pickle(content)
    except (ValueError, module._WantsCode):
        return
    pickle.Unpickler(io.BytesIO(content)).load()  # only a real pickle of plain values gets here


def test_a_file_that_cannot_be_written_is_a_sentence(vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(Problem, match="cannot be written"):
        save_vocab(vocabulary, tmp_path / "photo.jpg" / "a.json")


# ------------------------------------------------------------------------------------------------------------- capitals


GERMAN = [
    "Ein Hund und ein Kind spielen. Der Hund bellt",
    "Der HUND schläft auf dem Sofa",
    "Zwei Hunde und ein Hund",
    "Schläft der Hund?",
    "Ein hund auf dem Sofa vom Typ T-Shirt",
]


def test_words_are_written_as_captions_mostly_write_them_where_no_sentence_begins(tmp_path: Path) -> None:
    vocabulary = build_vocabulary(GERMAN, VocabularyOptions(min_frequency=1))
    assert vocabulary.written == {w.lower(): w for w in ("Hund", "Hunde", "Kind", "Sofa", "T-Shirt", "Typ")}
    said = vocabulary.decode(vocabulary.encode("der hund schläft auf dem sofa"))
    assert said == ["der", "hund", "schläft", "auf", "dem", "sofa"]
    assert vocabulary.sentence(said) == "Der Hund schläft auf dem Sofa"
    for name in ("words.json", "words.pkl"):
        save_vocab(vocabulary, tmp_path / name)
        assert load_vocab(tmp_path / name).written == vocabulary.written
    hash(vocabulary)


def test_what_is_written_are_the_same_letters(tmp_path: Path) -> None:
    content = build_vocabulary(GERMAN, VocabularyOptions(min_frequency=1)).to_dict()
    for written in ({"hund": "Katze"}, {"hund": 3}, ["hund"], {"hund": "Hund\n"}):
        (tmp_path / "words.json").write_text(json.dumps(content | {"written": written}), "utf-8")
        with pytest.raises(Problem, match="a word is written with other letters"):
            load_vocab(tmp_path / "words.json")
    del content["written"]
    assert Vocabulary.from_dict(content).sentence(["der", "hund"]) == "Der hund"  # an older file

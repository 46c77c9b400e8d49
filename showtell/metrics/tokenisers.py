"""From captions to tokens, in the ways that a score can name in its signature."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from showtell.metrics.options import Tokens
from showtell.metrics.ptb import ptb_tokens


def tokenise(caption: str, tokens: Tokens = "ptb") -> list[str]:
    """The tokens of a caption.

    Args:
        tokens: "ptb": the Penn Treebank's, as COCO's scorer has them, for English. "words": letters, marks and digits, with
            what joins them inside (hyphen, apostrophe, the point of a number), in lower case and composed form (NFC), for any
            language that puts spaces between words. "characters": the same, but each Chinese or Japanese character is a token.
            "spaces": the caption is tokenised already.

    Raises:
        ValueError: there are no such tokens.
    """
    if tokens not in TOKENISERS:
        raise ValueError(f"there are no tokens {tokens!r}; there are {', '.join(TOKENISERS)}")
    return TOKENISERS[tokens](caption)


def words(caption: str) -> list[str]:
    """Unicode words in lower case, without punctuation."""
    return [word for chunk in caption.lower().split() for word in _words_of(chunk)]


def characters(caption: str) -> list[str]:
    """Each Chinese or Japanese character alone, other scripts in words."""
    return words(_CHARACTER.sub(r" \g<0> ", caption))


def writes_without_spaces(text: str) -> bool:
    """Whether more than half of the text is Chinese or Japanese, which words and the Penn Treebank's tokens do not take apart."""
    return 2 * len(_CHARACTER.findall(text)) > len(text)


_CHARACTER = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_JOINERS = "'-.,:"
_LETTER = rf"[^\s{_JOINERS}]"
_WORD = re.compile(rf"{_LETTER}+(?:['-]{_LETTER}+|(?<=\d)[.,:](?=\d){_LETTER}+)*")


class _Signs(dict[int, int | str]):
    """A table for `str.translate` that learns as it goes: what is neither letter, mark, digit nor joiner becomes a space."""

    def __missing__(self, code: int) -> int | str:
        kept = unicodedata.category(chr(code))[0] in "LMN" or chr(code) in _JOINERS + "\u200c\u200d"
        self[code] = result = code if kept else " "
        return result


_SIGNS = _Signs(dict.fromkeys(map(ord, "’‘ʼ＇´`"), "'") | dict.fromkeys(map(ord, "‐‑－"), "-"))


@lru_cache(maxsize=2**15)
def _words_of(chunk: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(unicodedata.normalize("NFC", chunk).translate(_SIGNS)))


TOKENISERS: dict[Tokens, Callable[[str], list[str]]] = {
    "ptb": ptb_tokens,
    "words": words,
    "characters": characters,
    "spaces": str.split,
}

"""From a file to an upright RGB picture, whatever the file: a phone's, a scanner's, a broken or a hostile one.

Pillow reads; its global switches (MAX_IMAGE_PIXELS, LOAD_TRUNCATED_IMAGES) are neither used nor changed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from PIL import ExifTags, Image

from showtell.errors import Problem, missing_extra, printable
from showtell.pictures.options import PictureOptions

Source = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image
"""What a picture can be given as: a path, the bytes of a file, an open file, or a picture of Pillow's."""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif"}
)
"""How the names of files end that `list_pictures` takes, in lower case. Opening goes by what is in a file, not by its name."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")  # JPEG brings MPO; HEIC comes with an extra
_READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF, HEIC"
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|file|data):", re.IGNORECASE)

_TURN = {  # EXIF orientation -> what puts the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(Problem):
    """One picture cannot be had; the sentence names it. Whoever captions many skips it and goes on."""


def open_picture(source: Source, options: PictureOptions | None = None, *, name: str | None = None) -> Image.Image:
    """The picture, upright and in RGB, decoded and independent of its file.

    Turned as its EXIF says; transparency lies on white; 16-bit and float greys are brought to 8 bits; of an animation it is
    the first frame. Colour profiles are not applied (neither are they in what encoders are trained on).

    A JPEG of at least four times `picture_size` on both sides is decoded at 1/2, 1/4 or 1/8 of its size, never below twice
    `picture_size`: a phone's 12 megapixels take 40 ms instead of 200. What `shape()` makes of it then differs by 0.6 levels of
    255 in the mean from decoding in full, by 4 at the 99th percentile (30 COCO photographs, `picture_size` 112). Training
    and inference both come through here, so it is the same for both. `Seen.on` carries a region over to the full size.

    Args:
        source: a path, the bytes of a file, a binary file object (read from its start), or a Pillow image (any mode).
        options: `picture_size` (for the scaled decoding) and `max_pixels`.
        name: what to call the picture in an error, where the source does not say (bytes, an upload).

    Raises:
        PictureError: there is no such file, or it is empty, cut off, damaged, no picture, too large, a folder or a web address,
            or a HEIC file without the extra `heif`.
    """
    options = options or PictureOptions()
    with _opened(source, name) as (file, called), _pillow_silent():
        try:
            picture = source if isinstance(source, Image.Image) else _recognised(file, called)
            _check_size(picture.size, options.max_pixels, called)
            if picture.format in ("JPEG", "MPO") and not isinstance(source, Image.Image):
                picture.draft(None, (2 * options.picture_size, 2 * options.picture_size))
            picture.load()
            return _upright(_rgb(picture), _orientation(picture))
        except PictureError:
            raise
        except Image.DecompressionBombError as error:  # Pillow's own limit, for the frames of a GIF
            raise PictureError(f"{called} holds more pixels than can be decoded safely; make it smaller.") from error
        except MemoryError as error:
            raise PictureError(f"{called} does not fit into this machine's memory; make it smaller.") from error
        except Exception as error:  # a broken file may raise anything (OSError, struct.error, IndexError, SyntaxError, ...)
            _refuse_damaged(called, error)


def list_pictures(folder: str | os.PathLike[str], on_error: Callable[[PictureError], None] | None = None) -> list[Path]:
    """The pictures in a folder and the folders below it, sorted; known by their suffixes, in capitals too.

    Hidden files and folders (a dot first) are left out; links to folders are not followed.

    Args:
        folder: where to look.
        on_error: called for a folder below that cannot be read; without it, such a folder is an error.

    Raises:
        PictureError: the folder is not there, is no folder, or cannot be read.
    """
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        where = error.filename or folder
        problem = PictureError(f"The folder {printable(where)} cannot be read ({error.strerror or error}).")
        if on_error is None or Path(where) == Path(folder):
            raise problem from error
        on_error(problem)

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        named = (Path(parent) / name for name in files if not name.startswith("."))
        found += [path for path in named if path.suffix.lower() in PICTURE_SUFFIXES]
    return sorted(found)


# -- reading

_silent = threading.Lock(), ExitStack()
_silent_opens = 0


@contextmanager
def _pillow_silent() -> Iterator[None]:
    """Pillow's warnings (odd EXIF, ...) are not for a user's screen.

    The filters of warnings are one list for all threads: the first one in sets ours, and the last one out takes it away.
    """
    global _silent_opens
    lock, filters = _silent
    with lock:
        if _silent_opens == 0:
            filters.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module="PIL")
        _silent_opens += 1
    try:
        yield
    finally:
        with lock:
            _silent_opens -= 1
            if _silent_opens == 0:
                filters.close()


@contextmanager
def _opened(source: Source, name: str | None) -> Iterator[tuple[IO[bytes], str]]:
    """The file at its start, and what to call it."""
    if isinstance(source, Image.Image):
        yield io.BytesIO(), printable(name or getattr(source, "filename", "") or "The given picture")
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source), printable(name or "The given picture")
    elif isinstance(source, str | os.PathLike):
        called = printable(name or os.fspath(source))
        with _open_path(source, called) as file:
            yield file, called
    elif not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        raise PictureError(
            f"{type(source).__name__} is no picture: give a path, bytes, a file opened in binary, or a picture of Pillow's."
        )
    else:
        own_name = getattr(source, "name", None)
        called = printable(name or (own_name if isinstance(own_name, str) else "The given picture"))
        yield _seekable(source, called), called


def _open_path(path: str | os.PathLike[str], called: str) -> IO[bytes]:
    if _ADDRESS.match(os.fspath(path)):
        raise PictureError(f"{called} is a web address; download the picture and name the file.")
    try:
        kind = Path(path).stat().st_mode  # looked at before opening: opening a pipe would wait for ever
        if stat.S_ISDIR(kind):
            raise PictureError(f"{called} is a folder; name a picture in it.")
        if not stat.S_ISREG(kind):
            raise PictureError(f"{called} is not a regular file; name a file that holds a picture.")
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise PictureError(f"There is no file {called}.") from error
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a null byte in it
        raise PictureError(f"{called} cannot be opened ({getattr(error, 'strerror', None) or error}).") from error


def _seekable(file: IO[bytes], called: str) -> IO[bytes]:
    try:
        try:
            file.seek(0)
            return file
        except (AttributeError, io.UnsupportedOperation):
            return io.BytesIO(file.read())
    except Exception as error:  # somebody else's object: a closed file, a broken connection
        raise PictureError(f"{called} cannot be read ({printable(error)}).") from error


def _recognised(file: IO[bytes], called: str) -> Image.Image:
    """The picture with its header read and no pixel decoded.

    Image.open() would do the same, but for its own limit on pixels, which is one for the whole process and warns through
    filters that threads share; ours (`max_pixels`) is checked by the caller.
    """
    Image.init()
    head = file.read(64)
    if not head:
        raise PictureError(f"{called} is empty (0 bytes).")
    if _is_heic(head):
        return _heic(file, called)
    for factory, accepts in (Image.OPEN[format] for format in _FORMATS if format in Image.OPEN):
        accepted = accepts(head[:16]) if accepts else True
        if isinstance(accepted, str):  # a format that this build of Pillow leaves out
            raise PictureError(f"{called} is in a format that this Pillow cannot read: pip install --upgrade pillow.")
        if accepted:
            file.seek(0)
            return factory(file, "")
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        raise PictureError(f"{called} is an AVIF picture, which needs Pillow 11.3 or later: pip install --upgrade pillow.")
    raise PictureError(f"{called} is not a picture of a kind that showtell reads ({_READABLE}).")


def _is_heic(head: bytes) -> bool:
    """By the brands in its first box (ISO/IEC 23008-12); the box of an AVIF file names `avif` as well."""
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[i : i + 4] for i in range(8, end, 4)}
    heic = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
    return bool(brands & heic) and not brands & {b"avif", b"avis"}


def _heic(file: IO[bytes], called: str) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise PictureError(f"{called}: {missing_extra('reading HEIC pictures', 'heif')}") from error
    file.seek(0)
    picture: Image.Image = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return picture


def _check_size(size: tuple[int, int], max_pixels: int, called: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(
            f"{called} has {width} x {height} pixels, more than max_pixels ({max_pixels:,}) allows; "
            "make it smaller, or raise max_pixels if you trust it."
        )
    if width < 1 or height < 1:
        raise PictureError(f"{called} is {width} x {height} pixels large: there is nothing to see.")


def _refuse_damaged(called: str, error: Exception) -> NoReturn:
    reason = printable(error) or type(error).__name__
    raise PictureError(f"{called} is damaged or cut off ({reason}); save or download it again.") from error


# -- colours and turns


def _rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB, as a new picture that carries no EXIF any more (else it would be turned twice)."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        rgb = Image.fromarray(eight_bits(np.asarray(picture))).convert("RGB")
    elif picture.has_transparency_data:
        layer = picture.convert("RGBA")
        rgb = Image.new("RGB", picture.size, "white")
        rgb.paste(layer, mask=layer.getchannel("A"))
    else:
        rgb = picture.convert("RGB")
    rgb.info = {}
    return rgb


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of any depth (height x width) as uint8.

    White is what the values' depth says, taken from the largest: 1.0 for fractions, else 255, 1023, 4095, 16383 or 65535, since
    scanners and cameras put 10, 12 and 14 bits into 16. Values below 0 or beyond that are stretched from smallest to largest.
    What is not finite is black.
    """
    finite = np.isfinite(values)
    known = values if finite.all() else values[finite]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    whites = (1, 255, 1023, 4095, 16383, 65535) if values.dtype.kind == "f" else (255, 1023, 4095, 16383, 65535)
    if low >= 0 and high <= whites[-1]:
        low, high = 0.0, float(next(white for white in whites if white >= high))
    grey = np.empty(values.shape, np.uint8)
    for row, line in enumerate(values):  # one at a time: float64 of the whole picture would take eight times its memory
        scaled = (np.where(finite[row], line, low).astype(np.float64) - low) * (255 / (high - low or 1))
        grey[row] = np.rint(scaled)
    return grey


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) to 8; read after decoding, for Pillow turns a TIFF itself and takes it away."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF in a picture that is whole
        return 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(_TURN[orientation]) if orientation in _TURN else picture

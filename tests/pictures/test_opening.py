"""Any picture opens, upright and in RGB; whatever cannot be opened is named in one sentence."""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from showtell.pictures import PictureError, PictureOptions, list_pictures, open_picture, shape

RED, GREEN, BLUE, WHITE = (220, 20, 30), (20, 200, 40), (30, 40, 210), (255, 255, 255)


def saved(picture: Image.Image, format: str, **how: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **how)
    return file.getvalue()


def close_to(picture: Image.Image, colour: tuple[int, int, int], tolerance: int = 6) -> bool:
    return bool((np.abs(np.asarray(picture).astype(int) - colour) <= tolerance).all())


def refusal(source: object, **how: object) -> str:
    with pytest.raises(PictureError) as caught:
        open_picture(source, **how)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


# -- every mode and format


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        *(("RGB", format) for format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")),
        *(("RGBA", format) for format in ("PNG", "WEBP", "TIFF")),
        *(("P", format) for format in ("PNG", "GIF", "BMP", "TIFF")),
        ("CMYK", "TIFF"),
        ("CMYK", "JPEG"),  # as Adobe writes it, inverted
        ("YCbCr", "TIFF"),
    ],
)
def test_colours_survive_every_mode(mode: str, format: str) -> None:
    picture = Image.new("RGB", (24, 16), RED)
    file = saved(picture.quantize(8) if mode == "P" else picture.convert(mode), format)
    opened = open_picture(file)
    assert (opened.mode, opened.size) == ("RGB", (24, 16))
    assert close_to(opened, RED, 8)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif() -> None:
    assert close_to(open_picture(saved(Image.new("RGB", (24, 16), RED), "AVIF")), RED, 10)


@pytest.mark.parametrize(("mode", "format"), [("1", "PNG"), ("1", "PPM"), ("L", "JPEG"), ("L", "PNG"), ("L", "TIFF")])
def test_grey_pictures(mode: str, format: str) -> None:
    assert close_to(open_picture(saved(Image.new(mode, (9, 7), 255), format)), WHITE, 2)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_transparent_is_white(mode: str) -> None:
    picture = Image.new("RGBA", (8, 8), (*BLUE, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 8, 4))
    opened = open_picture(picture.convert(mode) if mode != "RGBA" else saved(picture, "PNG"))
    assert close_to(opened.crop((0, 0, 8, 4)), WHITE, 0)
    assert not close_to(opened.crop((0, 4, 8, 8)), WHITE, 40)


def test_half_transparent_is_half_white() -> None:
    opened = open_picture(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    assert close_to(opened, (127, 127, 127), 1)


def test_palette_with_a_transparent_colour() -> None:
    picture = Image.new("RGB", (8, 8), BLUE)
    picture.paste(GREEN, (0, 0, 8, 4))
    paletted = picture.quantize(2)
    opened = open_picture(saved(paletted, "PNG", transparency=paletted.getpixel((0, 0))))
    assert close_to(opened.crop((0, 0, 8, 4)), WHITE, 0)
    assert close_to(opened.crop((0, 4, 8, 8)), BLUE, 4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32768, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[0, 2048, 4095]], np.uint16), [0, 128, 255]),  # 12 bits of a medical scanner in 16
        (np.array([[0, 100, 255]], np.uint16), [0, 100, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
        (np.array([[-1000, 0, 1000]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 200.0]], np.float32), [0, 100, 200]),
        (np.array([[np.nan, 0.5, np.inf]], np.float32), [0, 128, 0]),
        (np.array([[7, 7, 7]], np.uint16), [7, 7, 7]),
        (np.array([[-3.0, -3.0, -3.0]], np.float32), [0, 0, 0]),
    ],
)
def test_deep_greys_come_to_eight_bits(values: np.ndarray, expected: list[int]) -> None:
    for picture in (Image.fromarray(values), saved(Image.fromarray(values), "TIFF")):
        pixels = np.asarray(open_picture(picture))[0]
        assert np.abs(pixels[:, 0].astype(int) - expected).max() <= 1
        assert (pixels == pixels[:, :1]).all()


def test_sixteen_bit_png() -> None:
    values = np.array([[0, 16384, 65535]], np.uint16)
    assert np.asarray(open_picture(saved(Image.fromarray(values), "PNG")))[0, :, 0].tolist() == [0, 64, 255]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_many(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    file = saved(frames[0], format, save_all=True, append_images=frames[1:])
    assert close_to(open_picture(file), RED, 8)


def test_two_pictures_in_one_jpeg() -> None:
    file = saved(Image.new("RGB", (16, 16), RED), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16), BLUE)])
    assert close_to(open_picture(file), RED, 8)


# -- turned pictures

FIRST_STORED_ROW_AND_COLUMN = {  # where the upright picture's left-to-right and top-to-bottom run in the stored one
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),  # stored turned to the left; the viewer turns it to the right
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(orientation: int, format: str) -> None:
    upright = np.full((32, 48, 3), 255, np.uint8)  # three corners marked, no two orientations alike
    upright[:16, :16], upright[:16, 32:], upright[16:, :16] = RED, GREEN, BLUE
    stored = Image.fromarray(np.ascontiguousarray(FIRST_STORED_ROW_AND_COLUMN[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"quality": 95, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    opened = open_picture(saved(stored, format, exif=exif, **how))
    assert opened.size == (48, 32)
    assert np.abs(np.asarray(opened).astype(int) - upright).mean() < 3
    assert np.array_equal(np.asarray(open_picture(opened)), np.asarray(opened)), "turned once, not twice"


NOISE = np.random.default_rng(0).bytes(64)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + NOISE], ids=["empty", "beyond", "noise"]
)
def test_broken_exif_does_not_break_the_picture(exif: bytes) -> None:
    assert close_to(open_picture(saved(Image.new("RGB", (16, 16), RED), "JPEG", exif=exif)), RED, 8)


def test_many_threads_leave_the_filters_of_warnings_as_they_were() -> None:
    odd = saved(Image.new("RGB", (64, 64), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert all(close_to(picture, RED, 8) for picture in pool.map(open_picture, [odd] * 200))
    assert warnings.filters == before


# -- sources


def test_sources_of_every_kind_give_the_same_picture(tmp_path: Path) -> None:
    path = tmp_path / "Bild mit Lücke.jpg"
    Image.effect_noise((64, 48), 60).convert("RGB").save(path)
    expected = np.asarray(open_picture(path))
    file = io.BytesIO(path.read_bytes())
    file.seek(100)  # wherever somebody left it
    with path.open("rb") as opened, Image.open(path) as pillow:
        for source in (str(path), path.read_bytes(), bytearray(path.read_bytes()), file, opened, pillow):
            assert np.array_equal(np.asarray(open_picture(source)), expected)  # type: ignore[arg-type]
        assert not opened.closed
    assert not file.closed


def test_stream_that_cannot_seek() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        os.write(writer, saved(Image.new("RGB", (8, 8), RED), "PNG"))
        os.close(writer)
        assert close_to(open_picture(stream), RED, 0)


def test_the_callers_picture_is_left_alone() -> None:
    picture = Image.new("RGB", (8, 8), RED)
    picture.info["comment"] = "mine"
    opened = open_picture(picture)
    opened.paste(BLUE, (0, 0, 8, 8))
    assert close_to(picture, RED, 0) and picture.info == {"comment": "mine"}


def test_what_is_in_a_file_counts_and_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(saved(Image.new("RGB", (8, 8), RED), "PNG"))
    assert close_to(open_picture(path), RED, 0)


# -- large pictures


def test_large_jpegs_are_decoded_smaller_and_look_the_same() -> None:
    noise = Image.effect_noise((100, 75), 90).resize((1600, 1200), Image.Resampling.BICUBIC).convert("RGB")
    options = PictureOptions(picture_size=100)
    scaled, full = (open_picture(file, options) for file in (saved(noise, "JPEG", quality=95), saved(noise, "PNG")))
    assert scaled.size == (400, 300) and full.size == (1600, 1200)
    difference = np.abs(shape(scaled, options)[0].astype(int) - shape(full, options)[0])
    assert difference.mean() < 1.5


def test_max_pixels_is_checked_before_decoding() -> None:
    bomb = b"P6 200001 1000 255\n"  # a header of a few bytes, and no pixels
    sentence = refusal(bomb, name="bomb.ppm")
    assert "bomb.ppm" in sentence and "200001 x 1000" in sentence and "max_pixels" in sentence
    assert "max_pixels (99)" in refusal(Image.new("L", (10, 10)), options=PictureOptions(max_pixels=99))
    assert open_picture(Image.new("L", (10, 10)), PictureOptions(max_pixels=100)).size == (10, 10)


def test_a_gif_frame_larger_than_its_screen() -> None:
    small = saved(Image.new("P", (4, 4)), "GIF")
    at = small.index(b",\0\0\0\0\4\0\4\0")
    bomb = small[: at + 5] + struct.pack("<HH", 65535, 65535) + small[at + 9 :]
    assert "pixels" in refusal(bomb)


def test_pillows_global_limits_are_neither_used_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # would refuse the picture; our limit is the option
    assert open_picture(saved(Image.new("RGB", (20, 20), RED), "PNG")).size == (20, 20)
    assert Image.MAX_IMAGE_PIXELS == 50
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_line_of_pixels() -> None:
    assert open_picture(saved(Image.new("RGB", (3000, 1), RED), "PNG")).size == (3000, 1)


# -- what is refused, and how it is said


def noisy() -> Image.Image:
    return Image.effect_noise((200, 160), 80).convert("RGB")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_cut_off_files_are_named(tmp_path: Path, format: str, kept: float) -> None:
    path = tmp_path / "cut.img"
    file = saved(noisy(), format)
    path.write_bytes(file[: int(len(file) * kept)])
    assert "cut.img is damaged or cut off" in refusal(path)


def test_missing_empty_folder_and_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.jpg").write_text("<html>Not found</html>")
    assert refusal(tmp_path / "gone.jpg") == f"There is no file {tmp_path / 'gone.jpg'}."
    assert "empty.jpg is empty" in refusal(tmp_path / "empty.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "notes.jpg is not a picture" in refusal(tmp_path / "notes.jpg")
    assert "cannot be opened" in refusal("null\0byte.jpg")
    assert "cannot be opened" in refusal("a" * 5000)


@pytest.mark.parametrize("head", [b"%!PS-Adobe-3.0 EPSF", b"%PDF-1.7", b"8BPS\0\1", b"GRIB", b"\x89HDF\r\n\x1a\n", b"FWS"])
def test_only_listed_formats_are_tried(head: bytes) -> None:
    assert "is not a picture of a kind" in refusal(head + bytes(200))


@pytest.mark.parametrize(
    "address", ["http://example.org/a.jpg", "HTTPS://example.org/a.jpg", "data:image/png;base64,AAAA", "s3://a/b"]
)
def test_web_addresses(address: str) -> None:
    assert refusal(address) == f"{address} is a web address; download the picture and name the file."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a regular file" in refusal(tmp_path / "pipe.jpg")


def test_closed_file() -> None:
    file = io.BytesIO(b"x")
    file.close()
    assert "cannot be read" in refusal(file)


@pytest.mark.parametrize("source", [None, 7, ["a.jpg"], io.StringIO("text")])
def test_what_holds_no_picture_at_all(source: Any) -> None:
    assert "is no picture: give a path, bytes, a file opened in binary, or a picture of Pillow's" in refusal(source)


def test_names_that_upset_a_terminal_are_escaped() -> None:
    assert "\\x1b[31mred\\n.jpg" in refusal("\x1b[31mred\n.jpg")
    assert "\\udcff" in refusal("bad\udcffname.jpg")


def test_bytes_are_called_what_the_caller_says() -> None:
    assert refusal(b"junk", name="upload 7").startswith("upload 7 is not a picture")
    assert refusal(b"junk").startswith("The given picture is not a picture")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_damaged_files_open_or_are_refused_and_nothing_else(format: str) -> None:
    random = np.random.default_rng(5)
    file = np.frombuffer(saved(noisy().resize((40, 30)), format), np.uint8)
    for _ in range(60):
        broken = file.copy()
        places = random.integers(0, min(len(file), 400), size=3)
        broken[places] = random.integers(0, 256, size=3)
        try:
            assert open_picture(broken.tobytes(), PictureOptions(max_pixels=1_000_000)).mode == "RGB"
        except PictureError as error:
            assert "\n" not in str(error)


def test_png_whose_header_lies() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    lie = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert "2147483647 x 2147483647 pixels" in refusal(lie)


# -- HEIC


def test_heic_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    head = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100)
    sentence = refusal(head, name="IMG_0001.HEIC")
    assert "IMG_0001.HEIC" in sentence and 'pip install ".[heif]"' in sentence


def test_heic_with_its_extra() -> None:
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), RED)).save(file, quality=95)
    before = set(Image.OPEN)
    opened = open_picture(file.getvalue())
    assert opened.size == (64, 48) and close_to(opened, RED, 10)
    assert set(Image.OPEN) == before, "nothing is registered with Pillow for everybody else"
    assert "damaged" in refusal(file.getvalue()[:200])


# -- folders


def test_list_pictures(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "sub/c.HeIc", "sub/deep/d.webp", ".hidden.jpg", ".cache/e.jpg", "notes.txt", "jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert names == ["a.PNG", "b.jpg", "sub/c.HeIc", "sub/deep/d.webp"]
    assert list_pictures(tmp_path / "sub" / "deep") == [tmp_path / "sub" / "deep" / "d.webp"]


def test_folders_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PictureError, match=r"gone cannot be read \(No such file"):
        list_pictures(tmp_path / "gone")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(PictureError, match="Not a directory"):
        list_pictures(tmp_path / "a.jpg")

    (tmp_path / "private").mkdir()
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PictureError, match="private cannot be read"):
        list_pictures(tmp_path)
    named: list[PictureError] = []
    assert list_pictures(tmp_path, on_error=named.append) == [tmp_path / "a.jpg"]
    assert len(named) == 1


def test_the_options_come_without_numpy_and_pillow() -> None:
    import subprocess

    check = "import sys, showtell.pictures.options; print([m for m in ('numpy', 'PIL', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "[]\n"

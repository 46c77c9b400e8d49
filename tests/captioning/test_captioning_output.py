"""Going on where a run stopped: nothing is done twice, nothing is lost, and nothing is mixed."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fake_captioner
import pytest
from fake_captioner import BROKEN, Caption
from PIL import Image

from showtell.captioning.formats import CocoResults, Csv, Format, JsonLines
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.output import Output, output_for
from showtell.captioning.provenance import provenance_path
from showtell.captioning.records import skipped
from showtell.errors import Problem, WrongUse
from showtell.files import written_whole
from showtell.search import SearchOptions

OUTPUTS = {"out.jsonl": "out.jsonl", "out.csv": "out.csv", "out.json": "out.json.part"}
"""Outputs, and the file that grows."""

NAMES = ["photos/a_001.png", BROKEN, "photos/c_003.png", "photos/d_004.jpg", "photos/e_005.png", "photos/f_006.png"]


def images(path: str) -> list[str]:
    return [json.loads(line)["image"] for line in Path(path).read_text(encoding="utf-8").splitlines()]


def lines(path: str) -> list[str]:
    """The lines of an output in any order."""
    return sorted(line.rstrip(",") for line in Path(path).read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("output", OUTPUTS)
def test_only_what_is_missing_is_captioned(caption: Caption, captioner: Any, output: str) -> None:
    assert caption(*NAMES[:4], output=output) == 1
    assert sum(captioner.seen) == 3
    assert caption(*NAMES, output=output) == 1
    assert sum(captioner.seen) == 5
    assert caption(*NAMES[2:], output=output) == 0  # all there: no model is asked
    assert sum(captioner.seen) == 5
    together = Path(output).read_bytes()
    assert caption(*NAMES, output=f"at_once_{output}") == 1
    assert Path(f"at_once_{output}").read_bytes() == together


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_file_cut_anywhere_becomes_the_same_file(caption: Caption, output: str) -> None:
    """A crash may leave any beginning of the growing file; going on gives, byte for byte, what an undisturbed run gives."""
    (Path(NAMES[-1])).rename("photos/é,“\n9.png")  # a name that is hard for CSV
    names = [*NAMES[:-1], "photos/é,“\n9.png"]
    caption(*names, output=output)
    undisturbed = whole = Path(output).read_bytes()
    growing = Path(OUTPUTS[output])
    if growing.suffix == ".part":
        whole = b"".join(line.rstrip(b",\n") + b"\n" for line in undisturbed.splitlines()[1:-1])
    for cut in [*range(0, len(whole), 41), *range(len(whole) - 8, len(whole))]:
        Path(output).unlink()
        growing.write_bytes(whole[:cut])
        caption(*names, output=output, quiet=True, workers=0)
        assert Path(output).read_bytes() == undisturbed, cut


def test_coco_results_killed_before_the_growing_file_was_removed(caption: Caption) -> None:
    caption(*NAMES, output="out.json")
    whole = Path("out.json").read_bytes()
    Path("out.json.part").write_text('{"image_id": 3, "caption": "A “black” thing"}\n', encoding="utf-8")
    assert caption(*NAMES, output="out.json") == 1
    assert Path("out.json").read_bytes() == whole and not Path("out.json.part").exists()


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_picture_that_was_mended_replaces_its_error(caption: Caption, output: str) -> None:
    assert caption(*NAMES, output=output) == 1
    before = Path(output).read_bytes()
    assert caption(*NAMES, output=output) == 1
    assert Path(output).read_bytes() == before  # tried again; as broken as before
    Image.new("RGB", (9, 9)).save(BROKEN)
    assert caption(*NAMES, output=output) == 0
    caption(*NAMES, output=f"anew_{output}")
    assert lines(output) == lines(f"anew_{output}")


def test_another_error_replaces_the_first(caption: Caption) -> None:
    caption(*NAMES, output="out.jsonl")
    Path(BROKEN).unlink()
    caption(*NAMES, output="out.jsonl")
    records = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["error"] for record in records if "error" in record] == [f"There is no file {BROKEN}."]


def test_a_line_that_a_killed_run_replaced_goes_with_the_next_one(caption: Caption) -> None:
    caption(*NAMES, output="out.jsonl")
    Image.new("RGB", (9, 9)).save(BROKEN)
    caption(BROKEN, output="other.jsonl")
    with Path("out.jsonl").open("ab") as file:  # as if killed between writing the caption and removing the error
        file.write(Path("other.jsonl").read_bytes())
    assert images("out.jsonl").count(BROKEN) == 2
    assert caption(*NAMES, output="out.jsonl") == 0
    assert images("out.jsonl").count(BROKEN) == 1


def test_what_somebody_else_writes_meanwhile_is_not_cut_off(caption: Caption) -> None:
    caption(NAMES[0], output="out.jsonl")
    output = Output(Path("out.jsonl"), JsonLines("."), json.loads(provenance_path(Path("out.jsonl")).read_bytes()))
    with Path("out.jsonl").open("ab") as other:
        other.write(b'{"image": "other.png", "caption": "a dog"}\n')
    before = Path("out.jsonl").read_bytes()
    with output, pytest.raises(WrongUse, match="is being written to by somebody else"):
        output.begin()
    assert Path("out.jsonl").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="there are no such locks")
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("overwrite", [False, True])
def test_two_at_once_do_not_write_to_one_output(caption: Caption, output: str, overwrite: bool) -> None:
    """The second one looks before the first has written anything."""
    options = CaptioningOptions(model=Path("model.pt"), output=Path(output), overwrite=overwrite)
    first, second = output_for(options, SearchOptions()), output_for(options, SearchOptions())
    with first:
        first.begin()
        with second, pytest.raises(WrongUse, match="is being written to by somebody else"):
            second.begin()
        with pytest.raises(WrongUse, match="is being written to by somebody else"):
            caption(*NAMES, output=output, overwrite=True)
        first.finish()
    assert caption(*NAMES, output=output) == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no such locks")
@pytest.mark.parametrize("output", OUTPUTS)
def test_who_comes_while_another_ends_loses_nothing(
    caption: Caption, captioner: Any, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """The first one replaces its file, or removes it: what a second one appended to that would be gone."""
    caption(BROKEN, output=output)
    Image.new("RGB", (9, 9)).save(BROKEN)
    options, refused = CaptioningOptions(model=Path("model.pt"), output=Path(output)), []

    @contextmanager
    def replaced(path: Path) -> Iterator[IO[bytes]]:
        if path.name == output:
            with output_for(options, SearchOptions()) as second:
                with pytest.raises(WrongUse, match="is being written to by somebody else"):
                    second.begin()
                refused.append(True)
        with written_whole(path) as file:
            yield file

    monkeypatch.setattr("showtell.captioning.output.written_whole", replaced)
    assert caption(BROKEN, output=output) == 0
    assert refused
    late = output_for(options, SearchOptions())
    assert caption(*NAMES[:2], output=output) == 0  # begins and ends while the other one loads its model
    with late, pytest.raises(WrongUse, match="is being written to by somebody else"):
        late.begin()


def test_killed_while_overwriting_no_captions_stand_beside_others_settings(
    caption: Caption, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption(*NAMES, output="out.jsonl")
    before = provenance_path(Path("out.jsonl")).read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("showtell.captioning.output.save_provenance", killed)
        with pytest.raises(KeyboardInterrupt):
            caption(NAMES[0], output="out.jsonl", overwrite=True)
    assert Path("out.jsonl").read_bytes() == b"" and not provenance_path(Path("out.jsonl")).exists()
    assert caption(*NAMES, output="out.jsonl") == 1
    assert provenance_path(Path("out.jsonl")).read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="there are no such locks")
@pytest.mark.parametrize("output", OUTPUTS)
def test_who_finds_nothing_missing_leaves_another_alone(caption: Caption, output: str) -> None:
    """A picture is mended; of the two runs that come, one still has others to caption."""
    caption(BROKEN, output=output)
    Image.new("RGB", (9, 9)).save(BROKEN)
    options = CaptioningOptions(model=Path("model.pt"), output=Path(output))
    record = {"image": BROKEN, "caption": "a dog", "words": ["a", "dog"], "logprobs": [-1.0, -1.0]}
    with output_for(options, SearchOptions()) as first:
        first.begin()
        first.write([record])
        with pytest.raises(WrongUse, match="is being written to by somebody else"):
            caption(BROKEN, output=output)
        first.write([record | {"image": NAMES[2]}])
        first.finish()
    held = output_for(options, SearchOptions())
    assert held.holds(BROKEN) and held.holds(NAMES[2])


def test_an_empty_file_is_no_output_yet(caption: Caption) -> None:
    Path("out.jsonl").touch()
    assert caption(*NAMES, output="out.jsonl") == 1
    assert images("out.jsonl")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("output", OUTPUTS)
def test_overwriting_a_link_writes_where_it_leads(caption: Caption, output: str) -> None:
    Path(f"target_{output}").touch()
    Path(output).symlink_to(f"target_{output}")
    assert caption(NAMES[0], output=output) == 0
    before = Path(f"target_{output}").read_bytes()
    assert caption(*NAMES, output=output, overwrite=True) == 1
    assert Path(output).is_symlink() and Path(f"target_{output}").read_bytes() not in (before, b"")


@pytest.mark.skipif(os.name == "nt", reason="links and modes are others there")
def test_a_link_leads_to_the_file_that_is_written_anew(caption: Caption) -> None:
    caption(NAMES[0], BROKEN, output="real.jsonl")
    Path("real.jsonl").chmod(0o600)
    Path("link.jsonl").symlink_to("real.jsonl")
    provenance_path(Path("link.jsonl")).symlink_to(provenance_path(Path("real.jsonl")))
    Image.new("RGB", (9, 9)).save(BROKEN)
    assert caption(NAMES[0], BROKEN, output="link.jsonl") == 0
    assert Path("link.jsonl").is_symlink() and images("real.jsonl") == [NAMES[0], BROKEN]
    assert stat.S_IMODE(Path("real.jsonl").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
@pytest.mark.parametrize("output", ["out.jsonl", "out.csv"])
def test_a_folder_whose_name_is_no_text(caption: Caption, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    folder = Path(os.fsdecode(b"caf\xe9"))
    shutil.copytree("photos", folder)
    shutil.copy("model.pt", folder)
    monkeypatch.chdir(folder)
    assert caption("a_001.png", output=output) == 0
    before = Path(output).read_bytes()
    assert caption("a_001.png", output=output) == 0
    assert Path(output).read_bytes() == before


def test_figures_that_are_missing_are_drawn_without_a_second_record(caption: Caption, captioner: Any) -> None:
    caption("photos/sub", output="out.jsonl")
    before = Path("out.jsonl").read_bytes()
    assert caption("photos/sub", output="out.jsonl", attention="maps") == 0
    assert caption("photos/sub", output="out.jsonl", attention="maps") == 0
    assert Path("out.jsonl").read_bytes() == before and captioner.seen == [2, 2] and len(list(Path("maps").iterdir())) == 2


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv"])
def test_the_same_name_in_another_folder_is_another_picture(
    caption: Caption, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Path(output).absolute()
    caption("photos/a_001.png", output=where)
    other = Path(shutil.copytree("photos", tmp_path / "other" / "photos"))
    monkeypatch.chdir(other.parent)
    shutil.copy(where.parent / "model.pt", ".")
    with pytest.raises(WrongUse, match=r"photos/a_001\.png is a name in this folder.*give whole paths"):
        caption("photos/a_001.png", output=where)
    assert caption(str(other / "a_001.png"), str(where.parent / "photos" / "a_001.png"), output=where) == 0
    assert len(lines(str(where))) == 2 + (output == "out.csv")  # the one that was there was not captioned again


# ---------------------------------------------------------------------------------------------------------- other settings


@pytest.mark.parametrize("output", OUTPUTS)
def test_other_settings_are_refused_by_name(caption: Caption, output: str) -> None:
    caption(*NAMES, output=output)
    before = Path(output).read_bytes()
    with pytest.raises(WrongUse, match=r"\(beam_size: 5 then, 3 now; forbid: \['<unk>'\] then, \[\] now\).*--overwrite"):
        caption(*NAMES, output=output, search=SearchOptions(beam_size=3, forbid=()))
    Path("model.pt").write_bytes(b"other weights")
    with pytest.raises(WrongUse, match=r"model: another model\.pt then, model\.pt now"):
        caption(*NAMES, output=output)
    assert Path(output).read_bytes() == before
    assert caption(*NAMES, output=output, overwrite=True, search=SearchOptions(n_best=2)) == 1
    assert caption(*NAMES, output=output, search=SearchOptions(n_best=2)) == 1


def test_a_file_with_two_ids_is_refused(caption: Caption) -> None:
    twice = [{"file_name": "a_001.png", "id": 5}] * 2
    Path("annotations.json").write_text(json.dumps({"images": twice}))
    assert caption("photos/a_001.png", output="out.json", annotations="annotations.json") == 0
    Path("annotations.json").write_text(json.dumps({"images": [*twice, {"file_name": "a_001.png", "id": 6}]}))
    with pytest.raises(Problem, match=r"annotations\.json gives a file two ids"):
        caption("photos/a_001.png", output="other.json", annotations="annotations.json")


def test_other_annotations_are_refused(caption: Caption) -> None:
    Path("annotations.json").write_text('{"images": [{"file_name": "a_001.png", "id": 5}]}')
    caption("photos/a_001.png", output="out.json", annotations="annotations.json")
    with pytest.raises(WrongUse, match=r"annotations: annotations\.json then, none now"):
        caption("photos/a_001.png", output="out.json")


def test_an_option_that_is_younger_than_the_file_had_its_default(caption: Caption) -> None:
    caption(*NAMES, output="out.jsonl")
    path = Path("out.jsonl.settings.json")
    made_with = json.loads(path.read_bytes())
    del made_with["search"]["no_repeat_ngram"]
    path.write_text(json.dumps(made_with))
    assert caption(*NAMES, output="out.jsonl") == 1
    with pytest.raises(WrongUse, match="no_repeat_ngram: the model's own then, 3 now"):
        caption(*NAMES, output="out.jsonl", search=SearchOptions(no_repeat_ngram=3))


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_strangers_file_is_not_touched(caption: Caption, output: str) -> None:
    Path(output).write_text("my thesis\n")
    with pytest.raises(WrongUse, match=r"settings\.json, which tells what made it"):
        caption(*NAMES, output=output)
    caption(*NAMES, output="made.jsonl")
    Path("made.jsonl.settings.json").rename(f"{output}.settings.json")
    with pytest.raises(WrongUse, match=r"something else than captions|other settings"):
        caption(*NAMES, output=output)
    assert Path(output).read_text() == "my thesis\n"
    assert caption(*NAMES, output=output, overwrite=True) == 1
    assert "thesis" not in Path(output).read_text(encoding="utf-8")


def test_settings_that_are_damaged(caption: Caption) -> None:
    caption(*NAMES, output="out.jsonl")
    for content in ("", "[]", "{}", '{"model": 3}'):
        Path("out.jsonl.settings.json").write_text(content)
        with pytest.raises(Problem, match="damaged"):
            caption(*NAMES, output="out.jsonl")


def test_a_removed_output_is_begun_anew_with_any_settings(caption: Caption) -> None:
    caption(*NAMES, output="out.jsonl")
    Path("out.jsonl").unlink()
    assert caption(*NAMES, output="out.jsonl", search=SearchOptions(beam_size=1)) == 1
    assert caption(*NAMES, output="out.jsonl", search=SearchOptions(beam_size=1)) == 1


@pytest.mark.parametrize("output", OUTPUTS)
def test_overwriting_waits_until_there_is_something_to_write(caption: Caption, output: str) -> None:
    caption(*NAMES, output=output)
    before = Path(output).read_bytes()
    Path("out.json.part").write_text('{"image_id": 3, "caption": "A “black” thing"}\n', encoding="utf-8")
    assert caption("*.webp", output=output, overwrite=True) == 3
    with pytest.raises(Problem):
        caption(*NAMES, output=output, overwrite=True, model=Path("gone.pt"))
    assert Path(output).read_bytes() == before and Path("out.json.part").exists()


# ------------------------------------------------------------------------------------------------------ stopped and killed


@pytest.mark.parametrize("output", OUTPUTS)
def test_after_ctrl_c_all_batches_that_were_done_are_safe(
    caption: Caption, captioner: Any, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    captioner.error, captioner.error_at = KeyboardInterrupt(), 2
    with pytest.raises(KeyboardInterrupt):
        caption(*NAMES, output=output)
    assert "Captioned 4 pictures" in capsys.readouterr().err
    captioner.error = None
    assert caption(*NAMES, output=output) == 1
    assert captioner.seen == [2, 2, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_a_sentence_and_what_fits_is_kept(caption: Caption, captioner: Any) -> None:
    import resource

    caption(*NAMES, output="whole.jsonl")
    whole = Path("whole.jsonl").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) - 100, before[1]))
        with pytest.raises(Problem, match=r"out\.jsonl cannot be written"):
            caption(*NAMES, output="out.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Path("out.jsonl").read_bytes() == whole[:-100]
    captioner.seen.clear()
    assert caption(*NAMES, output="out.jsonl") == 1
    assert Path("out.jsonl").read_bytes() == whole and captioner.seen == [1]


def test_an_output_that_cannot_be_written(caption: Caption) -> None:
    Path("folder.jsonl").mkdir()
    with pytest.raises(Problem, match=r"folder\.jsonl"):
        caption(*NAMES, output="folder.jsonl", overwrite=True)
    with pytest.raises(Problem, match="cannot be written"):
        caption(*NAMES, output="model.pt/out.jsonl")


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_run_that_is_killed_goes_on_to_the_same_file(caption: Caption, captioner: Any, output: str) -> None:
    caption(*NAMES, output=f"undisturbed_{output}")
    program = [sys.executable, fake_captioner.__file__, "-", "--model", "model.pt", "--output", output, "--batch_size", "2"]
    path = os.pathsep.join([str(Path(fake_captioner.__file__).parents[2]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    growing = Path(OUTPUTS[output])
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as killed:
        assert killed.stdin and killed.stderr
        killed.stdin.write("".join(f"{name}\n" for name in NAMES))  # and no end: it waits for more, with two captions written
        killed.stdin.flush()
        deadline = time.monotonic() + 120
        while not (growing.exists() and b"thing" in growing.read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.kill()
        assert time.monotonic() < deadline, killed.stderr.read()
    captioner.seen.clear()
    assert caption(*NAMES, output=output) == 1
    assert captioner.seen == [2, 1]
    assert Path(output).read_bytes() == Path(f"undisturbed_{output}").read_bytes()


# --------------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("form", [JsonLines("."), Csv(".")], ids=["jsonl", "csv"])
@pytest.mark.parametrize("image", ["a.png", 'q"uo"te,s\n\r\n.png', "中文/صورة.png", "caf\udce9.png", "\u2028\u0085.png"])
def test_any_name_is_recognised_again(form: Format, image: str) -> None:
    line = form.encode(skipped(image, f"{image} is broken"))
    line.decode("utf-8")
    assert list(form.lines(line.splitlines(keepends=True))) == [line] or b"\r" in line or b"\n" in line[:-1]
    assert form.decode(line).key == form.key(image)
    assert form.decode(line).error


@pytest.mark.parametrize(("name", "image_id"), [("COCO_val2014_000000391895.jpg", 391895), ("a/7.png", 7), ("x 12.b3.png", 3)])
def test_image_ids_from_names(name: str, image_id: int) -> None:
    assert CocoResults().key(name) == image_id


def test_many_records_are_read_again_without_their_text(tmp_path: Path) -> None:
    """What stays in memory of a record is a short key."""
    output = Output(tmp_path / "out.jsonl", JsonLines("."), {})
    output.begin()
    output.write(skipped(f"{n}.png", "broken") | {"error": None, "caption": "x" * 1000} for n in range(50))
    output.finish()
    assert len(re.findall(rb"x{1000}", (tmp_path / "out.jsonl").read_bytes())) == 50
    assert all(isinstance(key, bytes) and len(key) == 16 for key in output._captioned)
    assert output.holds("49.png") and not output.holds("50.png")

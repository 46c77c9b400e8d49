"""`make demo`: captions photographs with the captioner in the box; then draws scenes, trains a captioner on them, captions scenes
that it has never seen, and checks what it said.

Everything it does is an ordinary command, printed before it runs, and everything it writes lies under runs/demo.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEMO = Path("runs") / "demo"
DATA, MODEL, FIGURES, PHOTOGRAPHS = DEMO / "data", DEMO / "model", DEMO / "figures", DEMO / "photographs"


def run(command: str) -> None:
    """Shows a command and runs it; ends the demo where it fails."""
    print(f"\n$ {command}", flush=True)
    words = shlex.split(command)
    if words[0] == "showtell":
        words[:1] = [sys.executable, "-m", "showtell"]
    elif words[0] == "python":
        words[0] = sys.executable
    status = subprocess.run(words, cwd=HERE.parent).returncode
    if status:
        sys.exit(status)


def main() -> None:
    started = time.monotonic()
    if photographs := found_photographs():
        run(f"showtell caption {' '.join(photographs)} --attention {PHOTOGRAPHS.as_posix()}")
    tests = [(DATA / "images" / "test").as_posix() + f"/scene_{number:07d}.png" for number in first_test_pictures(6)]
    run(f"showtell data scenes --data {DATA.as_posix()} --train 8000")
    run(
        f"showtell train --config recipes/demo.yaml --data {DATA.as_posix()} --output_dir {MODEL.as_posix()} "
        f"--vocab {MODEL.as_posix()}/vocab.pkl --overwrite"
    )
    run(f"showtell caption {' '.join(tests)} --model {MODEL.as_posix()}/best_model.pt --attention {FIGURES.as_posix()}")
    run(f"python recipes/judge.py --model {MODEL.as_posix()}/best_model.pt --data {DATA.as_posix()}")
    print(f"The demo took {(time.monotonic() - started) / 60:.1f} minutes. The figures are in folders under {DEMO.as_posix()}.")


def found_photographs() -> list[str]:
    """Photographs that come with scikit-image, where it is installed, as the extra `dev` does."""
    found = find_spec("skimage")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "data"
    names = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")
    return [shlex.quote((folder / name).as_posix()) for name in names if (folder / name).is_file()]


def first_test_pictures(count: int) -> list[int]:
    """Numbers of the first pictures of the test split."""
    from showtell.data.scenes.write import image_id

    return [image_id("test", index) for index in range(count)]


if __name__ == "__main__":
    main()

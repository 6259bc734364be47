"""Make the pictures under docs/: ``python scripts/draw_docs.py --help``.

Each is drawn from what the commands next to it in the documentation leave: the comparison on UCSD Ped2, tests
with maps, and ``wsvad demo``. These commands keep what is finished, and are the user's to run.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shutil import copyfile, which

import h5py
import numpy as np
from jsonargparse import auto_cli
from numpy.typing import NDArray
from PIL import Image

from wsvad_lightning.bench.results import Result, by_method, draw_results
from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.splits import read_split
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.html.command import report_run
from wsvad_lightning.reporting.maps import read_maps
from wsvad_lightning.reporting.overlay import tint
from wsvad_lightning.video.reader import VideoReader

DOCS = Path(__file__).parent.parent / "docs"
GAP = 8  # pixels between frames
OUTLINE = (255, 220, 60)
Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Sources:
    """What pictures are drawn from.

    Attributes:
        bench: folder of the comparison on Ped2, ``--output`` of ``wsvad bench``.
        maps: folder of a test with maps on split 0 of Ped2.
        ped2: folder of Ped2: videos, annotations, splits and masks.
        demo: folder of ``wsvad demo``.
        long: file of ``scripts/bench_long.py``.
    """

    bench: Path
    maps: Path
    ped2: Path
    demo: Path
    long: Path


Draw = Callable[[Sources, Path], None]


def draw_docs(
    pictures: list[str] | None = None,
    bench: str = "runs/bench",
    maps: str = "runs/ssrl_maps/split0",
    ped2: str = "ped2",
    demo: str = "runs/demo",
    long: str = "runs/long.json",
    output: str = str(DOCS),
) -> None:
    """Draw pictures of the documentation.

    Args:
        pictures: their paths below docs/; all of them unless given.
        bench: folder of the comparison on Ped2, `--output` of `wsvad bench`.
        maps: folder of a test with maps on split 0 of Ped2.
        ped2: folder of Ped2: videos, annotations, splits and masks.
        demo: folder of `wsvad demo`.
        long: file of `scripts/bench_long.py`.
        output: folder to write to.
    """
    sources = Sources(Path(bench), Path(maps), Path(ped2), Path(demo), Path(long))
    for name in pictures or PICTURES:
        if name not in PICTURES:
            raise WSVADError("pictures", name, "is not made here", f"Give some of {', '.join(PICTURES)}")
        path = Path(output, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        PICTURES[name](sources, path)
        print(path)


def draw_comparison(sources: Sources, path: Path) -> None:
    """Draw the methods on the splits, without C2FPL, which is far below all others."""
    found = json.loads(newest(sources.bench, "results.json").read_text("utf-8"))
    results = [Result(**one) for one in found if one["method"] != "c2fpl"]
    draw_results(by_method(results), path)


def of_first_run(method: str, name: str = "scores.png") -> Draw:
    """Take a picture of the comparison, as the run of the first split and seed drew it.

    Args:
        method: whose run.
        name: of the picture in the folder of the run.
    """

    def copy(sources: Sources, path: Path) -> None:
        copyfile(newest(sources.bench / method, f"*/split0_seed0_last/version_*/{name}"), path)

    return copy


def draw_panels(sources: Sources, path: Path) -> None:
    """Draw the panels of Weights & Biases, by the script that reads what the comparison logged offline."""
    script = Path(__file__).with_name("wandb_panels.py")
    subprocess.run([sys.executable, str(script), str(sources.bench), str(path)], check=True)


def draw_long(sources: Sources, path: Path) -> None:
    """Draw what long videos cost, by the script that measured it."""
    script = Path(__file__).with_name("bench_long.py")
    subprocess.run(
        [sys.executable, str(script), str(sources.long), "--names", "[]", "--picture", str(path)], check=True
    )


def draw_report(sources: Sources, path: Path) -> None:
    """Take a picture of the report of UR-DMU's run on the first split, in the Chromium of the machine.

    Raises:
        WSVADError: if there is no such run, or no Chromium.
    """
    from playwright.sync_api import sync_playwright

    run = newest(sources.bench / "urdmu", "*/split0_seed0_last/version_*/metrics.json").parent
    chromium, page = which("chromium"), path.with_suffix(".html")
    if chromium is None:
        raise WSVADError("chromium", None, "is required on the path for this picture", "Install it")
    report_run(run, page, str(sources.ped2 / "videos"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1200, "height": 1750})
        tab.goto(page.absolute().as_uri())
        tab.wait_for_selector("html[data-ready]")
        tab.locator("article .curve").first.press("Enter")
        tab.evaluate("document.activeElement.blur()")
        tab.wait_for_timeout(5000)  # until the frame is shown
        tab.screenshot(path=path)
    page.unlink()


def draw_maps(sources: Sources, path: Path) -> None:
    """Show the first three abnormal test clips, at the middle of their first event: the truth, and a map."""
    known = read_annotations(sources.ped2 / "annotations.csv")
    names = [name for name in read_split(sources.ped2 / "splits.json", 0).test if known[name].intervals]
    rows = []
    for name in names[:3]:
        start, end = (known[name].intervals or ((0, 1),))[0]
        middle, levels = (start + end) // 2, read_maps(newest(sources.maps, "maps.h5"), name)
        frame = outlined(sources.ped2, name, middle)
        nearest = middle * len(levels) // (known[name].num_frames or 1)
        rows.append(side_by_side([frame, tint(frame, levels[nearest])]))
    Image.fromarray(np.concatenate(rows)).save(path)


def outlined(ped2: Path, name: str, index: int) -> Frame:
    """Read a frame, and draw the edge of what is anomalous in it."""
    frame = next(islice(VideoReader(ped2 / "videos" / f"{name}.mp4"), index, None)).copy()
    with h5py.File(ped2 / "masks.h5") as masks:
        inside = np.pad(masks[name][index] > 0, 1)
    core = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    frame[inside[1:-1, 1:-1] & ~core] = OUTLINE
    return frame


def film_strip(clip: str, *shown: float) -> Draw:
    """Score a clip of the demo, and put some of the drawn frames side by side.

    Args:
        clip: pattern of its name.
        shown: where in the clip, from 0 to 1.
    """

    def draw(sources: Sources, path: Path) -> None:
        checkpoint = newest(sources.demo, "sultani/version_*/checkpoints/last.ckpt")
        video = newest(sources.demo, f"data/videos/{clip}.mp4")
        where = ["--output", str(sources.demo), "--name", "pictures"]
        if main(
            ["predict", "--ckpt_path", str(checkpoint), "--videos", str(video), *where, "--maps", "false"]
        ):
            raise WSVADError("demo", sources.demo, f"{video.name} was not scored", "See the message above")
        frames = list(VideoReader(newest(sources.demo, f"pictures/version_*/{video.stem}/scored.mp4")))
        row = side_by_side([frames[round(place * (len(frames) - 1))] for place in shown])
        Image.fromarray(row).save(path)

    return draw


def side_by_side(frames: Sequence[Frame]) -> Frame:
    """Put frames ``[H, W, 3]`` of one size into a row, with gaps."""
    gap = np.full((len(frames[0]), GAP, 3), 255, np.uint8)
    return np.concatenate([part for frame in frames for part in (gap, frame)][1:], axis=1)


def newest(folder: Path, pattern: str) -> Path:
    """Find the file that was written last.

    Raises:
        WSVADError: if there is none.
    """
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not files:
        raise WSVADError("sources", folder, f"has no {pattern}", "Run the command in the documentation first")
    return files[-1]


METHODS = (
    "adplg",
    "bnwvad",
    "c2fpl",
    "cliptsa",
    "frduvad",
    "gsmoe",
    "mgfn",
    "rtfm",
    "s3r",
    "ssrl",
    "sultani",
)
PICTURES: dict[str, Draw] = {
    **{f"methods/{method}.png": of_first_run(method) for method in (*METHODS, "svmae", "urdmu")},
    "methods/adplg_labels.png": of_first_run("adplg", "pseudo_labels.png"),
    "ped2.png": draw_comparison,
    "long.png": draw_long,
    "report.png": draw_report,
    "maps.png": draw_maps,
    "wandb.png": draw_panels,
    "serving.png": film_strip("test_50_square_vehicle", 0.1, 0.3, 0.8),
}


if __name__ == "__main__":
    try:
        auto_cli(draw_docs)
    except WSVADError as error:
        sys.exit(f"error: {error}")

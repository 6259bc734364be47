"""Make the pictures under docs/: ``python scripts/draw_docs.py --help``.

``PICTURES`` says how each of them is made, and from which source. A source is what the commands next to the
picture in the documentation leave. These commands keep what is finished, and are the user's to run:

    bench   wsvad bench --methods all ...          docs/benchmarks.md, UCSD Ped2, weakly supervised
    panels  wsvad bench ... with/wandb.yaml        docs/wandb.md, Panels for thirty runs
    maps    wsvad bench --methods rtfm ...         docs/benchmarks.md, Where in the frame
    store   wsvad extract ... extract/motion.yaml  docs/benchmarks.md, UCSD Ped2, weakly supervised
    demo    wsvad demo                             docs/demo.md
    long    python scripts/bench_long.py           docs/benchmarks.md, Long videos
    soak    python scripts/soak.py                 docs/live.md, What happens to a camera
"""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from shutil import copyfile, which
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from jsonargparse import auto_cli
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from wsvad_lightning.bench.results import Result, by_method, draw_results
from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.splits import read_split
from wsvad_lightning.data.datasets.table import read_annotations, write_annotations
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.figures import report_figure
from wsvad_lightning.reporting.html.command import report_run
from wsvad_lightning.reporting.html.folder import read_run
from wsvad_lightning.reporting.maps import read_maps
from wsvad_lightning.reporting.overlay import text, tint
from wsvad_lightning.video.reader import VideoReader

DOCS = Path(__file__).parent.parent / "docs"
GAP = 8  # pixels between frames
TITLE = 14  # height of the letters above them
MOTION = "motion_4x6"
OUTLINE = (255, 220, 60)
Frame = NDArray[np.uint8]
Maps = Mapping[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Sources:
    """What pictures are drawn from.

    Attributes:
        bench: folder of the comparison on Ped2, ``--output`` of ``wsvad bench``.
        panels: folder of the comparison that was logged to Weights & Biases.
        maps: folder of the tests of RTFM on fine patches.
        store: motion features of Ped2.
        ped2: folder of Ped2: videos, annotations, splits and masks.
        demo: folder of ``wsvad demo``.
        long: file of ``scripts/bench_long.py``.
        soak: file of ``scripts/soak.py``, its ``--record``.
        search: folder of ``wsvad search`` on Ped2.
    """

    bench: Path
    panels: Path
    maps: Path
    store: Path
    ped2: Path
    demo: Path
    long: Path
    soak: Path
    search: Path


Draw = Callable[[Sources, Path], None]


def draw_docs(
    pictures: list[str] | None = None,
    bench: str = "runs/bench",
    panels: str = "runs/panels",
    maps: str = "runs/where/rtfm/ped2_fine",
    store: str = "stores/ped2.h5",
    ped2: str = "ped2",
    demo: str = "runs/demo",
    long: str = "runs/long.json",
    soak: str = "runs/soak.json",
    search: str = "runs/search",
    output: str = str(DOCS),
) -> None:
    """Draw pictures of the documentation.

    Args:
        pictures: their paths below docs/; all of them unless given.
        bench: folder of the comparison on Ped2, `--output` of `wsvad bench`.
        panels: folder of the comparison that was logged to Weights & Biases.
        maps: folder of the tests of RTFM on fine patches.
        store: motion features of Ped2.
        ped2: folder of Ped2: videos, annotations, splits and masks.
        demo: folder of `wsvad demo`.
        long: file of `scripts/bench_long.py`.
        soak: file of `scripts/soak.py`, its `--record`.
        search: folder of `wsvad search` on Ped2.
        output: folder to write to.
    """
    sources = Sources(*map(Path, (bench, panels, maps, store, ped2, demo, long, soak, search)))
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


def curves_of(method: str) -> Draw:
    """Draw the scores of a method's run on the first split with the first seed."""

    def draw(sources: Sources, path: Path) -> None:
        run = newest(sources.bench / method, "*/split0_seed0_last/version_*/metrics.json").parent
        report_figure([video.curve for video in read_run(run).videos], path)

    return draw


def draw_labels(sources: Sources, path: Path) -> None:
    """Take the picture of ADPLG's labels, as its training on the first split drew it."""
    copyfile(newest(sources.bench / "adplg", "*/split0_seed0_last/version_*/pseudo_labels.png"), path)


def draw_panels(sources: Sources, path: Path) -> None:
    """Draw the panels of Weights & Biases, by the script that reads what the comparison logged offline."""
    script = Path(__file__).with_name("wandb_panels.py")
    subprocess.run([sys.executable, str(script), str(sources.panels), str(path)], check=True)


def draw_long(sources: Sources, path: Path) -> None:
    """Draw what long videos cost, by the script that measured it."""
    script = Path(__file__).with_name("bench_long.py")
    subprocess.run(
        [sys.executable, str(script), str(sources.long), "--names", "[]", "--picture", str(path)], check=True
    )


def copy_importance(sources: Sources, path: Path) -> None:
    """Take the picture that the search drew."""
    copyfile(sources.search / "importance.png", path)


def draw_memory(sources: Sources, path: Path) -> None:
    """Draw the memory of ``wsvad watch`` over the minutes of a soak, and the median of each third."""
    found = json.loads(sources.soak.read_text("utf-8"))
    memory = np.array(found["memory"])
    minutes = np.arange(1, len(memory) + 1) / 60
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(minutes, memory, linewidth=1)
    for part in np.array_split(np.arange(len(memory)), 3):
        axes.hlines(np.median(memory[part]), minutes[part[0]], minutes[part[-1]], color="black")
    axes.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, None))
    what = f"cameras: {found['cameras']}, faults: {found['faults']}"
    axes.set_title(f"wsvad watch, {what}; lines: median of each third")
    figure.savefig(path, dpi=150)


def draw_report(sources: Sources, path: Path) -> None:
    """Take a picture of the report of UR-DMU's run on the first split, in the Chromium of the machine.

    Raises:
        WSVADError: if there is no such run, or no Chromium.
    """
    run = newest(sources.bench / "urdmu", "*/split0_seed0_last/version_*/metrics.json").parent
    page = path.with_suffix(".html")
    report_run(run, page, str(sources.ped2 / "videos"))
    with opened(page.absolute().as_uri(), height=1750) as tab:
        show_highest(tab)
        tab.screenshot(path=path)
    page.unlink()


def draw_service(sources: Sources, path: Path) -> None:
    """Take a picture of the page of ``wsvad serve`` with an abnormal test clip, scored by that run's model.

    Raises:
        WSVADError: if there is no such run, or no Chromium.
    """
    checkpoint = newest(sources.bench / "urdmu", "*/split0_seed0_last/version_*/checkpoints/last.ckpt")
    known = read_annotations(sources.ped2 / "annotations.csv")
    names = [name for name in read_split(sources.ped2 / "splits.json", 0).test if known[name].intervals]
    with served("serve", "--ckpt_path", str(checkpoint), height=640) as tab:
        tab.set_input_files("#files", str(sources.ped2 / "videos" / f"{names[0]}.mp4"))
        tab.wait_for_selector(".curve.js-plotly-plot")
        show_highest(tab)
        tab.screenshot(path=path)


def draw_labelling(sources: Sources, path: Path) -> None:
    """Take a picture of the page of ``wsvad label`` with the first clip that has a known event, marked.

    Raises:
        WSVADError: if there is no Chromium.
    """
    known = read_annotations(sources.ped2 / "annotations.csv")
    video = next(video for video in known.values() if video.intervals)
    clip = sources.ped2 / "videos" / f"{video.video_id}.mp4"
    with TemporaryDirectory() as folder:
        table = Path(folder, "videos.csv")
        marked = replace(video, intervals=((60, 101),), glances=(80,), classes=("cycling",), frame_size=None)
        write_annotations(table, {video.video_id: replace(marked, regions=None)})
        with served("label", str(clip), "-o", str(table), height=960) as tab:
            tab.wait_for_selector("#desk[data-ready]", state="attached")
            tab.locator("#marks button").nth(1).click()
            tab.wait_for_timeout(2000)  # until the frame is shown
            tab.screenshot(path=path)


@contextmanager
def served(*args: str, height: int) -> Iterator[Any]:
    """Run a command that serves a page on a free port, and open the page.

    Raises:
        WSVADError: if there is no Chromium.
    """
    command = [sys.executable, "-m", "wsvad_lightning", *args, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        try:
            said = next(line for line in service.stderr if "http://" in line)
            with opened(re.findall(r"http://[\d.:]+", said)[0], height=height) as tab:
                yield tab
        finally:
            service.terminate()


@contextmanager
def opened(address: str, height: int) -> Iterator[Any]:
    """Open a page in the Chromium of the machine.

    Raises:
        WSVADError: if there is none.
    """
    from playwright.sync_api import sync_playwright

    chromium = which("chromium")
    if chromium is None:
        raise WSVADError("chromium", None, "is required on the path for this picture", "Install it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1200, "height": height})
        tab.goto(address)
        tab.wait_for_selector("html[data-ready]")
        yield tab


def show_highest(tab: Any) -> None:
    """Go to the highest score of the first video."""
    tab.locator("article .curve").first.press("Enter")
    tab.evaluate("document.activeElement.blur()")
    tab.wait_for_timeout(5000)  # until the frame is shown


def draw_maps(sources: Sources, path: Path) -> None:
    """Show the first three abnormal test clips of the first split: truth, a map of motion, one of RTFM."""
    known = read_annotations(sources.ped2 / "annotations.csv")
    splits = sources.ped2 / "splits.json"
    names = [name for name in read_split(splits, 0).test if known[name].intervals][:3]
    data = WSVADDataModule(
        str(sources.store), split=str(splits), features=[MOTION], normalize="zscore", clip=5.0
    )
    data.setup("fit")
    bench_regions = runpy.run_path(str(Path(__file__).with_name("bench_regions.py")))
    motion = bench_regions["motion_maps"](data, bench_regions["STATISTICS"].index("q95"))
    run = newest(sources.maps, "split0_seed0_last/version_*/maps.h5")
    columns = {
        "motion in 4 x 6 patches, z-score of each": motion,
        "RTFM, one patch of 8 x 12 left in": {name: read_maps(run, name) for name in names},
    }
    Image.fromarray(table_of_maps(sources.ped2, names, columns)).save(path)


def table_of_maps(ped2: Path, names: Sequence[str], columns: Mapping[str, Maps]) -> Frame:
    """Show a row a clip, at the middle of its first event: the outlined truth, and maps laid over it.

    What lies above the median of the map of a clip is drawn red.
    """
    known = read_annotations(ped2 / "annotations.csv")
    rows = []
    for name in names:
        start, end = (known[name].intervals or ((0, 1),))[0]
        middle, shown = (start + end) // 2, []
        frame = outlined(ped2, name, middle)
        for maps in columns.values():
            low, high = np.median(maps[name]), maps[name].max()
            nearest = maps[name][middle * len(maps[name]) // (known[name].num_frames or 1)]
            shown.append(tint(frame, ((nearest - low) / max(high - low, 1e-9)).clip(0, 1)))
        rows.append(side_by_side([frame, *shown]))
    return np.concatenate([titles(("truth", *columns), rows[0].shape[1]), *rows])


def titles(words: Sequence[str], width: int) -> Frame:
    """Write what is shown in columns of equal width with gaps between them."""
    row = np.full((2 * TITLE, width, 3), 255, np.uint8)
    for column, word in enumerate(words):
        ink = text(word, TITLE)[: 2 * TITLE, : width // len(words)]
        left = column * (width + GAP) // len(words)
        row[: ink.shape[0], left : left + ink.shape[1]] = (255 * (1 - ink[..., None])).astype(np.uint8)
    return row


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
    "svmae",
    "urdmu",
)
PICTURES: dict[str, Draw] = {
    **{f"methods/{method}.png": curves_of(method) for method in METHODS},
    "methods/adplg_labels.png": draw_labels,
    "ped2.png": draw_comparison,
    "long.png": draw_long,
    "live.png": draw_memory,
    "report.png": draw_report,
    "search.png": copy_importance,
    "serve.png": draw_service,
    "label.png": draw_labelling,
    "maps.png": draw_maps,
    "wandb.png": draw_panels,
    "serving.png": film_strip("test_50_square_vehicle", 0.1, 0.3, 0.8),
}


if __name__ == "__main__":
    try:
        auto_cli(draw_docs)
    except WSVADError as error:
        sys.exit(f"error: {error}")

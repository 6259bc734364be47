"""``wsvad report``: the files of runs to a page."""

from pathlib import Path

import rich

from wsvad_lightning.data.datasets.footage import find_videos
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.html.comparison import BENCH, compare_results, compare_runs
from wsvad_lightning.reporting.html.folder import ReportedRun, read_run
from wsvad_lightning.reporting.html.page import Links, relative_address, write_run

PLAYABLE = (".mp4", ".m4v", ".mov", ".webm", ".ogv")  # by browsers, where they know the codec
NAME = "report.html"  # in the folder of a run


def report(runs: list[str], *, output: str | None = None, videos: str | None = None) -> None:
    """Make a report to read in a browser: one HTML file, of a run or of a comparison.

    Args:
        runs: folders of `wsvad test`, `predict` or `bench`; several are compared.
        output: HTML file to write, `report.html` in the folder of the first run by default.
        videos: folder of the videos; they are shown next to their curves, and stay where they are.

    Raises:
        WSVADError: if a folder is not one of a run, or the file cannot be written.
    """
    folders = [Path(run) for run in runs]
    path = Path(output) if output else folders[0] / NAME
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise WSVADError("--output", path, "is not an HTML file", "Give a name that ends with .html")
    if results := [folder for folder in folders if (folder / BENCH).is_file()]:
        if len(folders) > 1:
            raise WSVADError("RUN", results[0], "is a comparison already", "Give it alone")
        compare_results(folders[0] / BENCH, path)
    elif len(folders) > 1:
        compare_runs([read_run(folder) for folder in folders], path)
    else:
        report_run(folders[0], path, videos)
    rich.get_console().print(f"written to {path}", markup=False, soft_wrap=True)


def report_run(folder: Path, path: Path, videos: str | None = None) -> None:
    """Write the report of a run.

    Args:
        folder: of the run.
        path: of the HTML file.
        videos: folder of the videos; None for those that a prediction has drawn alone.

    Raises:
        WSVADError: if the folder is not one of a run, or the file cannot be written.
    """
    run = read_run(folder)
    write_run(run, path, find_links(run, path, videos))


def find_links(run: ReportedRun, path: Path, videos: str | None) -> Links:
    """Find the videos that can be shown: relative addresses by name, the drawn ones first.

    Args:
        run: whose videos they are.
        path: of the HTML file.
        videos: folder of the videos, or None.

    Raises:
        WSVADError: if the folder holds none.
    """
    found = {video.row.video: video.drawn for video in run.videos if video.drawn}
    if videos is not None:
        names = {video.row.video for video in run.videos}
        there = {source.annotation.video_id: source.path for source in find_videos(videos)[0]}
        own = {name: there[name] for name in names & there.keys()}
        if not own:
            problem = f"holds none of the videos of {run.folder}"
            raise WSVADError("--videos", videos, problem, "Give the folder that they were extracted from")
        playable = {
            name: file
            for name, file in own.items()
            if isinstance(file, Path) and file.suffix.lower() in PLAYABLE
        }
        if odd := len(own) - len(playable):
            rich.get_console().print(f"note: browsers do not play {odd} of the videos", markup=False)
        found = {**playable, **found}
    return {name: relative_address(file, path) for name, file in found.items()}

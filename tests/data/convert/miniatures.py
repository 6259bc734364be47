"""Miniatures of the layouts in which authors publish features: a few videos, a few channels."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsvad_lightning.data.store import Features

UCF = {"Abuse001_x264": 7, "Normal_Videos001_x264": 12, "RoadAccidents002_x264": 33}  # snippets
XD = {"Bad.Boys.1995__#00-26-51_00-27-53_label_B2-0-0": 6, "v=sCAYM6G0efk__#1_label_A": 9}
SHT = {"01_0014": 4, "01_002": 8}
TEN = [f"__{crop}" for crop in range(10)]


@dataclass
class Miniature:
    """A source, what its store must hold, and further options of the command.

    Attributes:
        source: what to convert.
        streams: ``[T, N, D]`` by video and stream.
        labels: label and classes by video.
        options: of the command, beyond the layout.
    """

    source: Path
    streams: dict[str, dict[str, Features]]
    labels: Mapping[str, tuple[int, tuple[str, ...]]]
    options: list[str] = field(default_factory=list)


UCF_LABELS = {
    "Abuse001_x264": (1, ("Abuse",)),
    "Normal_Videos001_x264": (0, ()),
    "RoadAccidents002_x264": (1, ("RoadAccidents",)),
}
XD_LABELS = dict(zip(XD, [(1, ("B2",)), (0, ())], strict=True))
UNKNOWN_LABELS = dict.fromkeys(SHT, (-1, ()))


def values(video: str, snippets: int, views: int, dim: int = 6) -> Features:
    """Features that depend on the video and their shape alone."""
    rng = np.random.default_rng([*video.encode(), snippets, views, dim])
    return rng.normal(size=(snippets, views, dim)).astype(np.float32)


def save(path: Path, array: Features) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def save_crops(folder: Path, video: str, array: Features, endings: list[str]) -> None:
    """One file a crop."""
    for crop, ending in enumerate(endings):
        save(folder / f"{video}{ending}.npy", array[:, crop])


def features_of(videos: Mapping[str, int], views: int) -> dict[str, dict[str, Features]]:
    return {video: {"features": values(video, snippets, views)} for video, snippets in videos.items()}


def urdmu(folder: Path) -> Miniature:
    streams = features_of(UCF, 10)
    for video, held in streams.items():
        save_crops(folder / "Abuse", video, held["features"], TEN)
    return Miniature(folder, streams, UCF_LABELS)


def adplg(folder: Path) -> Miniature:
    """The first crop without a number."""
    streams = features_of(UCF, 10)
    for video, held in streams.items():
        save_crops(
            folder / "train" / "RGB", video, held["features"], ["", *(f"__{crop}" for crop in range(1, 10))]
        )
    return Miniature(folder, streams, UCF_LABELS)


def pel4vad(folder: Path) -> Miniature:
    """ShanghaiTech with single underscores, and labels in the list."""
    streams = features_of(SHT, 10)
    for video, held in streams.items():
        save_crops(folder / "features" / "train", video, held["features"], [f"_{crop}" for crop in range(10)])
    lines = [f"train/{video}_{crop}.npy {float(video == '01_0014')}" for video in SHT for crop in range(10)]
    (folder / "train.list").write_text("\n".join(lines))
    labels = {"01_0014": (1, ()), "01_002": (0, ())}
    return Miniature(folder / "train.list", streams, labels, ["--folder", str(folder / "features")])


def rtfm(folder: Path) -> Miniature:
    """A list with the author's Windows paths."""
    streams = features_of(UCF, 10)
    for video, held in streams.items():
        save(folder / "UCF_Train_ten_crop_i3d" / f"{video}_i3d.npy", held["features"])
    lines = [f"G:\\UCF_Train_ten_crop_i3d\\{video}_i3d.npy\r\n" for video in UCF]
    (folder / "ucf-i3d.list").write_bytes("".join(lines).encode())
    return Miniature(folder / "ucf-i3d.list", streams, UCF_LABELS)


def mgfn(folder: Path) -> Miniature:
    """Training videos of 32 segments, crops first; test videos of full length in an archive."""
    streams = features_of({**dict.fromkeys(UCF, 32), "Arson010_x264": 11, "Arson011_x264": 40}, 10)
    folder.mkdir()
    with zipfile.ZipFile(folder / "UCF_Test.zip", "w") as archive:
        for video in ("Arson010_x264", "Arson011_x264"):
            with archive.open(f"UCF_Test/{video}_i3d.npy", "w") as file:
                np.save(file, streams[video]["features"])
    for video in UCF:
        save(folder / "UCF_Train" / f"{video}_i3d.npy", streams[video]["features"].swapaxes(0, 1))
    labels = {**UCF_LABELS, "Arson010_x264": (1, ("Arson",)), "Arson011_x264": (1, ("Arson",))}
    return Miniature(folder, streams, labels)


def vadclip(folder: Path) -> Miniature:
    streams = features_of(XD, 10)
    for video, held in streams.items():
        save_crops(
            folder / "XDTrainClipFeatures", video, held["features"], [f"__{crop}" for crop in range(10)]
        )
    codes = dict(zip(XD, ("B2-0-0", "A"), strict=True))
    rows = [
        f"/elsewhere/XDTrainClipFeatures/{video}__{crop}.npy,{codes[video]}"
        for video in XD
        for crop in range(10)
    ]
    (folder / "xd_CLIP_rgb.csv").write_text("\r\n".join(["path,label", *rows]))
    return Miniature(folder / "xd_CLIP_rgb.csv", streams, XD_LABELS)


def xdviodet(folder: Path) -> Miniature:
    """The flow of the first video and the audio of the second are a row short."""
    streams: dict[str, dict[str, Features]] = {}
    for number, (video, snippets) in enumerate(XD.items()):
        rgb, flow = values(video, snippets, 5), values(video + "flow", snippets, 5)
        audio = values(video + "audio", snippets, 1, dim=4)
        save_crops(folder / "i3d-features" / "RGBTest", video, rgb, [f"__{crop}" for crop in range(5)])
        short = snippets - (number == 0)
        save_crops(
            folder / "i3d-features" / "FlowTest", video, flow[:short], [f"__{crop}" for crop in range(5)]
        )
        save(
            folder / "vggish-features" / "test" / f"{video}__vggish.npy", audio[: snippets - (number == 1), 0]
        )
        (flow if number == 0 else audio)[-1] = (flow if number == 0 else audio)[-2]
        streams[video] = {"features": rgb, "flow": flow, "audio": audio}
    return Miniature(folder, streams, XD_LABELS)


def c2fpl(folder: Path) -> Miniature:
    streams = features_of(UCF, 10)
    arrays = [held["features"] for held in streams.values()]
    ends = np.cumsum([len(array) for array in arrays])
    save(folder / "concat_UCF.npy", np.concatenate(arrays))
    save(folder / "nalist.npy", np.stack([np.r_[0, ends[:-1]], ends], axis=1))
    (folder / "ucf-i3d.list").write_text("\n".join(f"/elsewhere/{video}_i3d.npy" for video in UCF))
    (folder / "ucf-i3d-test.list").write_text("./Abuse028_x264_i3d.npy")
    return Miniature(folder, streams, UCF_LABELS)


def tevad(folder: Path) -> Miniature:
    streams = features_of(UCF, 10)
    for video, held in streams.items():
        held["text"] = values(video + "text", UCF[video], 1, dim=5)
        save(folder / "i3d_v1" / f"{video}_i3d.npy", held["features"])
        save(folder / "save" / "Crime" / "sent_emb_n" / f"{video}_emb.npy", held["text"][:, 0])
    return Miniature(folder, streams, UCF_LABELS)


def svmae(folder: Path) -> Miniature:
    """Text in a folder elsewhere, under the names of the visual files."""
    streams = features_of(UCF, 1)
    for video, held in streams.items():
        held["text"] = values(video + "text", UCF[video], 1, dim=5)
        save(folder / "visual" / f"{video}_videomae.npy", held["features"][:, 0])
        save(folder / "elsewhere" / f"{video}_videomae.npy", held["text"][:, 0])
    return Miniature(folder / "visual", streams, UCF_LABELS, ["--streams.text", str(folder / "elsewhere")])


def ssrl(folder: Path) -> Miniature:
    streams = features_of(SHT, 10)
    for video, held in streams.items():
        save(folder / "SH_Train_i3d" / f"{video}_i3d.npy", held["features"])
        for code, rows, columns in (("23", 2, 3), ("35", 3, 5)):
            held[f"patches_{rows}x{columns}"] = patches = values(video + code, SHT[video], rows * columns)
            save(folder / f"SH_PATCH{code}_i3d" / f"{video}_patch{code}_i3d.npy", patches)
    return Miniature(folder, streams, UNKNOWN_LABELS)


def s3r(folder: Path) -> Miniature:
    streams = features_of(dict.fromkeys(UCF, 32), 10)
    folder.mkdir()
    held = {video: array["features"].swapaxes(0, 1) for video, array in streams.items()}
    (folder / "ucf-crime.training.pkl").write_bytes(pickle.dumps({"feature": held, "note": "training"}))
    return Miniature(folder / "ucf-crime.training.pkl", streams, UCF_LABELS)


def s3r_folder(folder: Path) -> Miniature:
    """A pickle a video."""
    streams = features_of(UCF, 10)
    folder.mkdir()
    for video, held in streams.items():
        (folder / f"{video}_i3d.pkl").write_bytes(pickle.dumps(held["features"]))
    return Miniature(folder, streams, UCF_LABELS)


def sst(folder: Path) -> Miniature:
    """A list of videos; their features lie elsewhere under the same names."""
    streams = features_of(UCF, 1)
    for video, held in streams.items():
        save(folder / "ucf_videomaev2" / f"{video}.npy", held["features"][:, 0])
    lines = [f"/projects/0/Videos/all_videos/{video}.mp4" for video in UCF]
    (folder / "UCF_Train.list").write_text("\n".join(lines))
    return Miniature(folder / "UCF_Train.list", streams, UCF_LABELS)


def sultani(folder: Path) -> Miniature:
    streams = features_of(dict.fromkeys(UCF, 32), 1)
    for video, held in streams.items():
        array = held["features"] = held["features"].round(6)
        path = folder / "Train" / f"{video}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join("".join(f"{value:f} " for value in row) + "\n" for row in array[:, 0]))
    return Miniature(folder, streams, UCF_LABELS)


def plain(folder: Path) -> Miniature:
    streams = features_of({"gate_0412": 5, "gate_0413": 20}, 1)
    for video, held in streams.items():
        save(folder / "cameras" / f"{video}.npy", held["features"][:, 0])
    table = "video,label,split\ngate_0412,fall,train\ngate_0413.mp4,normal,test\ngate_9999,normal,test\n"
    (folder / "videos.csv").write_text(table)
    labels = {"gate_0412": (1, ("fall",)), "gate_0413": (0, ())}
    return Miniature(folder / "cameras", streams, labels, ["--annotations", str(folder / "videos.csv")])


MINIATURES: list[tuple[str, Callable[[Path], Miniature]]] = [
    ("urdmu", urdmu),
    ("urdmu", adplg),
    ("urdmu", pel4vad),
    ("rtfm", rtfm),
    ("mgfn", mgfn),
    ("vadclip", vadclip),
    ("xdviodet", xdviodet),
    ("c2fpl", c2fpl),
    ("tevad", tevad),
    ("tevad", svmae),
    ("ssrl", ssrl),
    ("s3r", s3r),
    ("s3r", s3r_folder),
    ("sst", sst),
    ("sultani", sultani),
    ("plain", plain),
]

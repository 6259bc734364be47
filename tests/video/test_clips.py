"""Frames from any place of a video are those of a plain decode from its start."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.videos import VideoMaker, write_stamped
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.clips import ClipReader, ClipReaders, read_clip
from wsvad_lightning.video.crops import Crop
from wsvad_lightning.video.frames import Footage, FrameFolder
from wsvad_lightning.video.reader import VideoReader

Pixels = NDArray[np.uint8]
B_FRAMES = {"g": "8", "bf": "3", "b_strategy": "0"}
OPEN_GOP = {"x264-params": "keyint=8:open-gop=1:bframes=3:b-adapt=0"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=8"}


def decode(video: str | Footage, fps: float | None = None) -> Pixels:
    return np.stack(list(VideoReader(video, resample=fps)))


def check(video: Footage, fps: float | None = None) -> ClipReader:
    """Read clips in a random order, and compare them with a decode from the start."""
    expected, reader = decode(video, fps), ClipReader(video, fps)
    count = len(expected)
    assert reader.index.num_frames == count
    rng = np.random.default_rng(0)
    clips = [np.arange(start, min(start + 7, count), 3) for start in rng.permutation(count)[:12]]
    clips += [np.arange(0, 3), np.arange(2, 5), np.array([2, 2, 3]), np.arange(count)]
    for frames in clips:
        np.testing.assert_array_equal(reader.read(frames), expected[frames])
    reader.close()
    return reader


@pytest.mark.parametrize(
    ("name", "codec", "encoder"),
    [
        ("b.mp4", "libx264", B_FRAMES),
        ("b.mkv", "libx264", B_FRAMES),
        ("b.ts", "libx264", B_FRAMES),
        ("open.mp4", "libx264", OPEN_GOP),
        ("open.ts", "libx264", OPEN_GOP),
        ("refresh.mp4", "libx264", REFRESH),
        ("b.mpg", "mpeg2video", {"g": "8", "bf": "2"}),
        ("plain.avi", "mpeg4", {"g": "8"}),
    ],
)
@pytest.mark.parametrize("fps", [None, 4])
def test_frames_are_found_by_key_frames(
    name: str, codec: str, encoder: dict[str, str], fps: float | None, make_video: VideoMaker
) -> None:
    reader = check(make_video(name, 30, codec=codec, encoder=encoder), fps)
    assert reader.index.keys is not None
    assert len(reader.index.keys) > 1 or name == "refresh.mp4"


@pytest.mark.parametrize(("name", "codec"), [("b.avi", "libx264"), ("alt.webm", "libvpx")])
def test_where_packets_mislead_the_video_is_decoded_from_its_start(
    name: str, codec: str, make_video: VideoMaker
) -> None:
    encoder = B_FRAMES if codec == "libx264" else {"auto-alt-ref": "1", "lag-in-frames": "8"}
    assert check(make_video(name, 30, codec=codec, encoder=encoder)).index.ticks is None


@pytest.mark.parametrize("fps", [None, 3, 25])
def test_a_variable_frame_rate(fps: float | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.integers(20, 900, 20)) / 1000
    check(write_stamped(tmp_path / "uneven.mp4", stamps.tolist()), fps)


def test_a_rotated_video(make_video: VideoMaker, tmp_path: Path) -> None:
    source = make_video("a.mp4", 12, encoder=B_FRAMES)
    turned = tmp_path / "turned.mp4"
    with av.open(str(source)) as given, av.open(str(turned), "w") as written:
        track = written.add_stream_from_template(given.streams.video[0])
        track.metadata["rotate"] = "90"
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                written.mux(packet)
    content = turned.read_bytes()
    header = content.index(b"tkhd")  # the display matrix follows 40 bytes after the version
    matrix = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    place = header + 4 + 40
    turned.write_bytes(content[:place] + matrix + content[place + len(matrix) :])
    assert decode(turned).shape == (12, 64, 48, 3)
    check(turned)
    assert read_clip(turned, 2, 4, size=(32, 24)).shape == (3, 4, 32, 24)


def test_damage_is_met_and_read_past_as_in_a_plain_decode(make_video: VideoMaker) -> None:
    path = make_video("a.mp4", 30, encoder=B_FRAMES)
    reader = ClipReader(path)
    with av.open(str(path)) as container:
        places = [(int(packet.pos or 0), packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    place, size = places[14]
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    expected = decode(path)
    assert len(expected) == 30
    for start in (0, 20, 10):
        frames = np.arange(start, start + 8)
        np.testing.assert_array_equal(reader.read(frames), expected[frames])
    assert reader.index.ticks is None


def test_folders_of_images(tmp_path: Path) -> None:
    paths = tuple(tmp_path / f"{t:03d}.png" for t in range(9))
    for t, path in enumerate(paths):
        Image.new("L", (32, 24), 20 * t).save(path)
    folder = FrameFolder(tmp_path, paths, fps=10)
    assert check(folder).index.ticks is not None
    check(folder, fps=5)
    paths[4].write_bytes(b"no image")
    reader = check(folder)
    assert reader.index.ticks is None
    assert reader.read([3, 4]).mean(axis=(1, 2, 3)).tolist() == [60, 60]


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        (Crop(), (0, 48), (0, 64)),
        (Crop(1.0, (0.5, 0.5)), (0, 48), (8, 56)),
        (Crop(0.5, (0.0, 1.0)), (0, 24), (40, 64)),
    ],
)
def test_crops_show_their_part_of_the_frame(
    crop: Crop, rows: tuple[int, int], columns: tuple[int, int], make_video: VideoMaker
) -> None:
    path = make_video("a.mp4", 3)
    full = decode(path)[1, slice(*rows), slice(*columns)]
    clip = read_clip(path, 1, 1, size=(24, 24), crop=crop)
    assert clip.dtype == torch.float32
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(full).permute(2, 0, 1)[None].float(), (24, 24), mode="bilinear", antialias=True
    )
    assert (clip[:, 0] * 255 - expected[0]).abs().mean() < 2
    reader = ClipReader(path)
    reader.read([0], (24, 24), crop)
    box = reader.layout((24, 24), crop).box
    assert np.allclose(box, (rows[0] / 48, columns[0] / 64, rows[1] / 48, columns[1] / 64))


def test_a_crop_without_a_size_has_that_of_the_video(make_video: VideoMaker) -> None:
    path, crop = make_video("a.mp4", 3), Crop(0.5, (0.0, 1.0))
    clip = read_clip(path, 1, 1, crop=crop)
    assert torch.equal(clip, read_clip(path, 1, 1, size=(48, 64), crop=crop))
    assert not torch.equal(clip, read_clip(path, 1, 1))


def test_few_files_are_open(make_video: VideoMaker) -> None:
    paths = [make_video(f"{number}.mp4", 10) for number in range(6)]
    readers = ClipReaders(most_open=2)

    def open_files() -> int:
        links = (link.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists())
        return len([link for link in links if link in paths])

    for path in [*paths, *paths[:3]]:
        clip = readers.read_clip(path, 2, 4, 2)
        np.testing.assert_array_equal(
            (clip * 255).round().byte().permute(1, 2, 3, 0).numpy(), decode(path)[2:10:2]
        )
        assert open_files() <= 2
    readers.close()
    assert open_files() == 0


def test_a_clip_lies_in_the_video_or_is_padded(make_video: VideoMaker) -> None:
    path = make_video("a.mp4", 10)
    clip = read_clip(path, 8, 4, pad=True)
    assert torch.equal(clip[:, 1], clip[:, 3])
    assert not torch.equal(clip[:, 0], clip[:, 1])
    for start, stride in ((8, 1), (10, 1), (-1, 1), (0, 4)):
        with pytest.raises(WSVADError, match=r"a\.mp4.*: a clip of 4 frames.* it has 10 frames"):
            read_clip(path, start, 4, stride, pad=start == 10)
    with pytest.raises(WSVADError, match="length='0': must be at least 1"):
        read_clip(path, 0, 0)
    with pytest.raises(WSVADError, match="stride='-1'"):
        read_clip(path, 8, 4, -1)


def test_an_edit_list_hides_frames(tmp_path: Path, make_video: VideoMaker) -> None:
    source = make_video("whole.mp4", 30, encoder=B_FRAMES)
    cut = tmp_path / "cut.mp4"
    with av.open(str(source)) as given, av.open(str(cut), "w") as written:
        first = given.streams.video[0]
        track = written.add_stream_from_template(first)
        shift = int(Fraction(3, 10) / (first.time_base or 1))
        for packet in given.demux(first):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = track
                written.mux(packet)
    check(cut)

"""Which track of a file is the film, and what damage costs."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.videos import VideoMaker
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.film import decoder_version
from wsvad_lightning.video.index import index_video
from wsvad_lightning.video.reader import VideoReader

ATTACHED, DEFAULT = 1024, 1
PACKET = 188  # bytes of MPEG-TS


def read(path: Path, **options: Any) -> VideoReader:
    reader = VideoReader(path, **options)
    for _ in reader:
        pass
    return reader


def write_tracks(path: Path, tracks: list[tuple[str, int, int]], *, sound: bool = False) -> Path:
    """Write a file of several tracks, given by codec, frames and disposition; each 8 pixels wider."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, (codec, _, disposition) in enumerate(tracks):
            stream: Any = container.add_stream(codec, rate=10)
            stream.width, stream.height = 64 + 8 * number, 48
            stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            stream.disposition = disposition
            streams.append(stream)
        music: Any = container.add_stream("aac", rate=16000) if sound else None
        for stream, (_, num_frames, _) in zip(streams, tracks, strict=True):
            for t in range(num_frames):
                grey = np.full((48, stream.width, 3), 10 * t % 256, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts, frame.time_base = t, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if sound:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 16000
            container.mux([*music.encode(silence), *music.encode(None)])
    return path


FILM, SECOND = ("libx264", 12, DEFAULT), ("libx264", 9, 0)
JPEG, PNG = ("mjpeg", 1, ATTACHED), ("png", 1, ATTACHED)
PLAIN_PNG = ("png", 1, 0)  # a cover that is not marked as one


@pytest.mark.parametrize(
    ("name", "tracks"),
    [
        ("last.mp4", [FILM, JPEG]),
        ("first.mp4", [JPEG, FILM]),
        ("png.mp4", [PNG, FILM]),
        ("several.mp4", [JPEG, FILM, PNG]),
        ("unmarked.mov", [PLAIN_PNG, FILM]),
        ("unmarked.mkv", [("mjpeg", 1, 0), FILM]),
        ("unmarked.avi", [("mjpeg", 1, 0), ("mpeg4", 12, 0)]),
    ],
)
def test_a_cover_is_no_film(name: str, tracks: list[tuple[str, int, int]], tmp_path: Path) -> None:
    reader = read(write_tracks(tmp_path / name, tracks))
    assert (reader.num_frames, reader.fps, reader.notes) == (12, 10, ())


def test_a_cover_that_avi_states_several_frames_of_is_no_film(tmp_path: Path) -> None:
    reader = read(write_tracks(tmp_path / "a.avi", [("mjpeg", 1, 0), ("libx264", 30, 0)]))  # with B-frames
    assert (reader.num_frames, reader.notes) == (30, ())


@pytest.mark.parametrize(
    ("name", "cover"),
    [("a.mp4", JPEG), ("a.mp4", PNG), ("a.mov", PLAIN_PNG), ("a.mkv", ("mjpeg", 1, 0)), ("a.mkv", JPEG)],
)
def test_music_with_a_cover_has_no_video(name: str, cover: tuple[str, int, int], tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match=rf"{name}': has no video, only .*cover"):
        read(write_tracks(tmp_path / name, [cover], sound=True))


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "png", "rgb24"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.mkv", "bmp", "bgr24"),
        ("a.avi", "tiff", "rgb24"),
        ("a.png", "png", "rgb24"),
        ("%03d.jpg", "mjpeg", "yuvj420p"),
    ],
)
def test_a_picture_is_no_video_whatever_its_name(name: str, codec: str, pixels: str, tmp_path: Path) -> None:
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, pixels, Fraction(1, 10)
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24").reformat(
        format=pixels
    )
    path = tmp_path / name
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))
    with pytest.raises(WSVADError, match=f"{name}': is a picture, not a video"):
        read(path)
    with pytest.raises(WSVADError, match="is a picture, not a video"):
        index_video(str(path))


def test_a_picture_in_the_format_of_mp4_is_no_video(make_video: VideoMaker) -> None:
    path = make_video("a.mp4", 1)
    path.write_bytes(path.read_bytes().replace(b"ftypisom", b"ftypavif", 1))
    with pytest.raises(WSVADError, match="is a picture, not a video"):
        read(path)


def test_a_camera_that_films_in_pictures_is_one(tmp_path: Path) -> None:
    assert read(write_tracks(tmp_path / "a.avi", [("mjpeg", 12, 0)], sound=False)).num_frames == 12
    assert read(write_tracks(tmp_path / "b.mkv", [("mjpeg", 12, 0)], sound=True)).num_frames == 12
    stream = tmp_path / "c.mp4"  # of pictures alone, without a container
    write_tracks(tmp_path / "c.mjpeg", [("mjpeg", 2, 0)]).rename(stream)
    assert read(stream).num_frames == 2


@pytest.mark.parametrize(
    ("tracks", "num_frames", "place"),
    [
        ([FILM, SECOND], 12, 1),
        ([SECOND, FILM], 12, 2),  # the default one
        ([("libx264", 9, 0), ("libx264", 12, 0)], 9, 1),  # the first one
    ],
)
def test_of_several_films_one_is_chosen_and_named(
    tracks: list[tuple[str, int, int]], num_frames: int, place: int, tmp_path: Path
) -> None:
    reader = read(write_tracks(tmp_path / "two.mkv", tracks))
    assert reader.num_frames == num_frames
    assert reader.notes == (f"2 video tracks: number {place}, h264, {56 + 8 * place} x 48 is read",)


@pytest.fixture
def recording(make_video: VideoMaker) -> Path:
    """MPEG-TS of 60 frames with a key frame every 20, large enough for many network packets."""
    options = {"g": "20", "x264-params": "keyint=20:scenecut=0:bframes=0:crf=4"}
    return make_video("gate.ts", 60, height=144, width=192, encoder=options)


def lose(path: Path, start: int, packets: int) -> None:
    """Take network packets out, from the one with the byte ``start`` on."""
    content = path.read_bytes()
    first = start // PACKET * PACKET
    path.write_bytes(content[:first] + content[first + packets * PACKET :])


def key_packets(path: Path) -> list[tuple[int, int]]:
    """Where the key frames of a file lie: first byte and number of bytes."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.is_keyframe]


@pytest.mark.parametrize("resample", [None, 10])
def test_a_lost_network_packet_costs_its_frame(recording: Path, resample: float | None) -> None:
    start, size = key_packets(recording)[1]
    lose(recording, start + size // 2, 2)
    reader = read(recording, resample=resample)
    assert (reader.num_frames, reader.fps) == (60, 10)
    assert reader.notes == ("1 of 60 frames damaged (20)",)


def test_frames_that_are_lost_keep_their_places(recording: Path) -> None:
    whole = list(VideoReader(recording))
    (_, (start, _), (end, _)) = key_packets(recording)
    lose(recording, start + (end - start) // 3, (end - start) // 4 // PACKET)
    reader = VideoReader(recording)
    frames = list(reader)
    assert len(frames) == reader.num_frames == 60
    assert any("frames lost (" in note and "neighbour" in note for note in reader.notes)
    same = [t for t in range(60) if np.array_equal(frames[t], whole[t])]
    assert same[:20] == list(range(20))
    assert same[-20:] == list(range(40, 60))  # from the next key frame on
    assert reader.seconds == pytest.approx(5.9)


def test_a_frame_that_comes_after_its_place_was_taken_is_left_out(make_video: VideoMaker) -> None:
    """B-frames on both sides of what is lost: a late one comes after those that follow it."""
    options = {"g": "20", "x264-params": "keyint=20:scenecut=0:bframes=3:crf=4"}
    content = make_video("b.ts", 80, height=144, width=192, encoder=options).read_bytes()
    path = make_video("cut.ts", 1)
    packets = len(content) // PACKET
    for part in (0.415, 0.447, 0.467):
        path.write_bytes(content)
        lose(path, int(part * packets) * PACKET, 100)
        assert read(path).num_frames == 80, part


def test_frames_that_a_decoder_passes_over_until_the_end_are_lost(make_video: VideoMaker) -> None:
    """A decoder of H.265 gives nothing, and no error, from a damaged key frame to the next one."""
    options = {"x265-params": "keyint=20:scenecut=0:bframes=3:log-level=none"}
    path = make_video("a.ts", 60, height=144, width=192, codec="libx265", encoder=options)
    start, size = key_packets(path)[-1]
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    reader = read(path)
    assert reader.num_frames == 60
    assert any("frames lost (" in note for note in reader.notes)


def test_a_recording_that_begins_between_key_frames_is_named(recording: Path) -> None:
    whole = list(VideoReader(recording))
    (first, size), *_ = key_packets(recording)
    lose(recording, first, size // PACKET + 1)
    reader = VideoReader(recording)
    np.testing.assert_array_equal(list(reader), whole[20:])
    assert reader.notes == ("begins with 19 frames that lack a key frame, not read",)


def damage(path: Path, start: float, length: int) -> None:
    content = bytearray(path.read_bytes())
    first = int(start * len(content))
    content[first : first + length] = b"\xff" * length
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mov", "mpeg4")])
def test_packets_that_cannot_be_decoded_keep_their_places(
    name: str, codec: str, make_video: VideoMaker
) -> None:
    settings = {"height": 144, "width": 192, "codec": codec, "encoder": {"g": "20"}}
    path = make_video(name, 60, **settings)
    whole = list(VideoReader(path))
    damage(path, 0.5, path.stat().st_size // 10)
    reader = VideoReader(path)
    frames = list(reader)
    assert len(frames) == 60
    assert [note for note in reader.notes if "frames lost" in note or "frames damaged" in note]
    assert all(np.array_equal(frames[t], whole[t]) for t in (*range(20), *range(50, 60)))


def test_a_frame_that_nothing_is_left_of_at_the_start_keeps_its_place(make_video: VideoMaker) -> None:
    path = make_video(
        "a.mp4", 30, height=144, width=192, encoder={"g": "1"}, options={"movflags": "faststart"}
    )
    whole = list(VideoReader(path))
    start, size = key_packets(path)[0]
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    reader = VideoReader(path)
    frames = list(reader)
    assert reader.notes == ("1 of 30 frames lost (0): a neighbour takes the place of each",)
    np.testing.assert_array_equal(frames[0], whole[1])
    np.testing.assert_array_equal(frames[1:], whole[1:])


def cut(path: Path, part: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.mov", "mpeg4"),
    ],
)
def test_a_file_in_recording_is_read_as_far_as_it_goes(name: str, codec: str, make_video: VideoMaker) -> None:
    faststart = {"movflags": "faststart"} if name[2:] in ("mp4", "mov") else {}
    path = make_video(name, 60, height=144, width=192, codec=codec, options=faststart)
    whole = list(VideoReader(path))
    reader = VideoReader(cut(path, 0.8))
    frames = list(reader)
    assert 10 < len(frames) < 60
    assert f"{len(frames)} frames where the header states 60" in reader.notes
    np.testing.assert_array_equal(frames[:10], whole[:10])


def test_an_unfinished_mp4_is_one_line(make_video: VideoMaker) -> None:
    with pytest.raises(WSVADError, match=r"a\.mp4': cannot be decoded.*--skip-broken"):
        read(cut(make_video("a.mp4", 20), 0.9))


def test_an_animation_that_is_cut_off_is_named(make_video: VideoMaker) -> None:
    path = make_video("a.gif", 20, codec="gif", pixels="rgb8")
    assert read(path).notes == ()
    reader = read(cut(path, 0.5))
    assert 5 < reader.num_frames < 20
    assert "of the file" in reader.notes[0]


def test_recordings_that_were_joined_are_read_on(recording: Path) -> None:
    recording.write_bytes(2 * recording.read_bytes())
    reader = read(recording)
    assert (reader.num_frames, reader.fps) == (120, 10)
    assert "time stamps jump (frame 60): time goes on there at 10 frames a second" in reader.notes
    assert read(recording, resample=5).num_frames == 60


SOUND: dict[str, dict[str, Any]] = {
    "h264.mp4": {"codec": "libx264"},
    "fragments.mp4": {"codec": "libx264", "options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264.avi": {"codec": "libx264"},  # B-frames, whose order AVI does not say
    "mpeg4.avi": {"codec": "mpeg4"},
    "hidden.webm": {"codec": "libvpx", "encoder": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "a.mpg": {"codec": "mpeg2video", "fps": 25},
    "a.mov": {"codec": "mpeg4"},
    "a.flv": {"codec": "flv1"},
    "a.gif": {"codec": "gif", "pixels": "rgb8"},
    "ten.mp4": {"codec": "libx264", "pixels": "yuv420p10le"},
    "grey.mp4": {"codec": "libx264", "pixels": "gray"},
    "alpha.mkv": {"codec": "ffv1", "pixels": "bgra"},
    "alpha.webm": {"codec": "libvpx-vp9", "pixels": "yuva420p"},
    "pixel.mkv": {"codec": "ffv1", "height": 1, "width": 1},
    "odd.mkv": {"codec": "ffv1", "height": 17, "width": 33},
    "column.gif": {"codec": "gif", "pixels": "rgb8", "height": 40, "width": 1},
}


@pytest.mark.parametrize("num_frames", [1, 30])
@pytest.mark.parametrize("name", SOUND)
def test_of_a_sound_file_there_is_nothing_to_say(name: str, num_frames: int, make_video: VideoMaker) -> None:
    settings = SOUND[name]
    reader = VideoReader(make_video(name, num_frames, **settings))
    (shape,) = {frame.shape for frame in reader}
    assert shape == (settings.get("height", 48), settings.get("width", 64), 3)
    assert (reader.num_frames, reader.notes) == (num_frames, ())
    if num_frames > 1:
        assert reader.fps == pytest.approx(settings.get("fps", 10), rel=0.02)


@pytest.mark.parametrize(
    "name", ["12:30:00.mp4", "concat:a.mp4", "-i.mp4", "%03d.mp4", "http:.mp4", "a b#?.mp4"]
)
def test_a_name_is_never_taken_for_an_address(
    name: str, make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video("a.mp4", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read(Path(name)).num_frames == 3


def test_names_and_tags_of_other_bytes_are_read(make_video: VideoMaker, tmp_path: Path) -> None:
    plain = make_video("a.mkv", 3, tags={"title": "Grusse"})
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/T\xfcr.mkv"))
    path.write_bytes(plain.read_bytes().replace(b"Grusse", b"Gr\xfc\xdfe\xff"))
    assert read(path).num_frames == 3


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "ffconcat version 1.0\nfile http://127.0.0.1:9/a.mp4\n",
        "ffconcat version 1.0\nfile ../a.mp4\n",
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "sdp"])
def test_addresses_in_a_file_are_not_followed(text: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_text(text)
    with pytest.raises(WSVADError, match=f"a.{suffix}': (cannot be decoded|is a list of other files)"):
        read(tmp_path / f"a.{suffix}")


def test_the_decoder_has_a_version() -> None:
    assert f"PyAV {av.__version__}, libavcodec " in decoder_version()


Damage = Callable[[bytearray, np.random.Generator], None]


def flip(content: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(len(content), size=rng.choice([1, 5, 40])):
        content[place] ^= 1 << int(rng.integers(8))


def overwrite(content: bytearray, rng: np.random.Generator) -> None:
    start, length = int(rng.integers(len(content))), int(rng.choice([10, 188, 1316, 5000]))
    end = min(start + length, len(content))
    content[start:end] = rng.bytes(end - start) if rng.random() < 0.5 else bytes(end - start)


def remove(content: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(content)))
    del content[start : start + int(rng.choice([1, 188, 1316, 5000]))]


def truncate(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(1, len(content))) :]


CODECS = {"mpeg4.avi": "mpeg4", "a.mov": "mpeg4", "a.flv": "flv1", "a.webm": "libvpx"}


@pytest.mark.parametrize("damaging", [flip, overwrite, remove, truncate])
@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "mpeg4.avi", "a.mov", "a.flv", "a.webm"])
def test_random_damage_is_a_right_result_or_named(
    name: str, damaging: Damage, make_video: VideoMaker, tmp_path: Path
) -> None:
    options = {"movflags": "faststart"} if name.endswith(("mp4", "mov")) else {}
    path = make_video(name, 40, codec=CODECS.get(name, "libx264"), encoder={"g": "10"}, options=options)
    whole = path.read_bytes()
    for seed in range(int(os.environ.get("WSVAD_DAMAGES", "6"))):
        content = bytearray(whole)
        damaging(content, np.random.default_rng(seed))
        path.write_bytes(content)
        reader = VideoReader(path)
        try:
            frames = list(reader)
        except WSVADError:  # a line that names it
            continue
        assert len(reader.times()) == len(frames) + 1  # the same once more
        between_packets = name.endswith(".ts") and damaging is truncate and len(content) % PACKET == 0
        assert len(frames) == 40 or reader.notes or between_packets, f"seed {seed}: {len(frames)} frames"

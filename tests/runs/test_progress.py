"""The bar of an evaluation counts videos, and moves within a long one."""

from wsvad_lightning.runs.progress import StepProgress
from wsvad_lightning.types import ShowsParts


def test_parts_of_a_video_move_the_bar() -> None:
    bar = StepProgress()
    assert isinstance(bar, ShowsParts)
    bar.show_part(0.5)  # nothing is open
    bar._start("predict", 3)
    assert bar._progress is not None
    (task,) = bar._progress.tasks
    shown = []
    for videos in (1, 2):
        bar.show_part(0.5)
        shown.append(task.completed)
        bar._advance(videos)
        shown.append(task.completed)
    bar._stop()
    assert shown == [0.5, 1, 1.5, 2]

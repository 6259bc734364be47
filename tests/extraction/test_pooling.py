from itertools import chain

import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.pooling import Pooling, SnippetPooler, SnippetRecipe, Tail
from wsvad_lightning.metrics.expand import check_num_snippets


def expected_snippets(recipe: SnippetRecipe, num_frames: int) -> list[list[int]]:
    """The frames of each snippet, by the words of the documentation."""
    snippets: list[list[int]] = []
    start = 0
    while start < num_frames:
        frames = list(range(start, min(start + recipe.length, num_frames), recipe.frame_stride))
        full = start + recipe.length <= num_frames
        behind = start == 0 or start - recipe.stride + recipe.length < num_frames
        if full or not snippets or (recipe.tail != "drop" and behind):
            short = -(-recipe.length // recipe.frame_stride) - len(frames)
            snippets.append(frames + frames[-1:] * (short if recipe.tail == "pad" else 0))
        start += recipe.stride
    return snippets


@pytest.mark.parametrize("tail", ["keep", "pad", "drop"])
@pytest.mark.parametrize(
    ("length", "stride", "frame_stride"), [(4, 4, 1), (4, 4, 2), (5, 2, 2), (8, 4, 1), (2, 6, 3), (1, 1, 1)]
)
def test_snippets_cover_the_frames_they_claim(
    length: int, stride: int, frame_stride: int, tail: Tail
) -> None:
    recipe = SnippetRecipe(length, stride, frame_stride, "mean", tail)
    for num_frames in range(1, 30):
        pooler = SnippetPooler(recipe)
        numbers = torch.arange(0, num_frames, frame_stride).float().view(-1, 1, 1)
        given = [pooler.add(numbers[start : start + 3]) for start in range(0, len(numbers), 3)]
        ready = [*chain(*given), *pooler.finish(num_frames)]
        snippets = torch.stack(ready[: recipe.num_snippets(num_frames)])
        means = [sum(frames) / len(frames) for frames in expected_snippets(recipe, num_frames)]
        torch.testing.assert_close(snippets.flatten(), torch.tensor(means))
        assert len(snippets) == recipe.num_snippets(num_frames)
        check_num_snippets(len(snippets), num_frames, recipe)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [[2.0, 3.0]]), ("max", [[4.0, 6.0]]), ("mean_max", [[2.0, 3.0, 4.0, 6.0]])],
)
def test_poolings(pooling: Pooling, expected: list[list[float]]) -> None:
    pooler = SnippetPooler(SnippetRecipe(length=3, stride=3, pooling=pooling))
    assert pooler.add(torch.tensor([[[4.0, 0.0]], [[2.0, 3.0]]])) == []
    assert [snippet.tolist() for snippet in pooler.add(torch.tensor([[[0.0, 6.0]]]))] == [expected]
    assert pooler.finish(3) == []


@pytest.mark.parametrize(
    ("recipe", "argument"),
    [
        ({"length": 0}, "snippet_length"),
        ({"stride": -1}, "snippet_stride"),
        ({"frame_stride": 0}, "frame_stride"),
        ({"stride": 5, "frame_stride": 2}, "snippet_stride"),
    ],
)
def test_impossible_recipes_are_refused(recipe: dict[str, int], argument: str) -> None:
    with pytest.raises(WSVADError) as error:
        SnippetRecipe(**recipe)  # type: ignore[arg-type]
    assert error.value.argument == argument

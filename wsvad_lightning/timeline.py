"""How many snippets a video has."""


def snippet_count_bounds(num_frames: int, snippet_stride: int, snippet_length: int) -> tuple[int, int]:
    """Fewest and most snippets that so many frames can give.

    Snippet t covers the frames ``[t * stride, t * stride + length)``. Dropping an incomplete tail gives
    ``max(1, floor((F - length) / stride) + 1)`` snippets, padding it ``ceil(F / stride)``.

    Args:
        num_frames: F.
        snippet_stride: frames from the start of one snippet to the start of the next.
        snippet_length: frames covered by a snippet.
    """
    fewest = max(1, (num_frames - snippet_length) // snippet_stride + 1)
    return fewest, -(-num_frames // snippet_stride)

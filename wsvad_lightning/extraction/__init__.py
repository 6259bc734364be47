"""From videos to feature stores: command, many videos, one video, encoders, snippets, the recipe."""

"""Small videos, made on the spot."""

from tests.backbones.conftest import make_video, texture  # noqa: F401  # fixtures

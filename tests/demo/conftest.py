"""Processes that render are forked from the server of all tests, whichever of them comes first."""

from tests.bench.conftest import _server  # noqa: F401  # a fixture

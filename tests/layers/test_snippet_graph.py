"""Graphs of snippets."""

import math

import torch

from wsvad_lightning.layers import GraphLayer, proximity_graph, similarity_graph


def test_proximity_by_hand() -> None:
    expected = [[1.0, math.exp(-1 / math.e)], [math.exp(-1 / math.e), 1.0]]
    torch.testing.assert_close(proximity_graph(2), torch.tensor(expected))


def test_similarity_by_hand() -> None:
    x = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [5.0, 5.0]]])
    graph = similarity_graph(x, torch.tensor([[True, True, True, False]]))[0]
    e = math.e
    expected = torch.tensor([[e, e, 1.0, 0.0], [e, e, 1.0, 0.0], [1.0, 1.0, e, 0.0], [0.0] * 4])
    sums = torch.tensor([2 * e + 1, 2 * e + 1, e + 2, 1.0])
    torch.testing.assert_close(graph, expected / sums[:, None])


def test_a_cosine_up_to_the_threshold_does_not_count() -> None:
    x = torch.tensor([[[1.0, 0.0], [1.0, 1.03]]])  # cosine just below 0.7
    graph = similarity_graph(x, torch.ones(1, 2, dtype=torch.bool))[0]
    torch.testing.assert_close(graph[0], torch.tensor([math.e, 1.0]) / (math.e + 1))


def test_layers_by_hand() -> None:
    layer = GraphLayer(2, 2)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    x, graph = torch.tensor([[[1.0, 1.0], [3.0, 4.0]]]), torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    assert layer(x, graph).tolist() == [[[1.0 + 3.0, 1.0 + 8.0], [3.0 + 2.0, 4.0 + 5.0]]]


def test_where_widths_differ_the_residual_is_a_convolution_over_five() -> None:
    layer = GraphLayer(3, 2)
    x = torch.zeros(1, 9, 3)
    x[:, 4] = 1.0
    moved = layer(x, torch.zeros(1, 9, 9)) - layer(torch.zeros(1, 9, 3), torch.zeros(1, 9, 9))
    assert moved.abs().sum(dim=-1)[0].gt(0).tolist() == [False, False, *[True] * 5, False, False]

from functools import partial

import torch
import torch.nn.functional as F

from wsvad_lightning.speed.measures import Measurement, count_flops


def test_operations_of_a_product_a_convolution_and_attention_with_its_gradient_are_counted() -> None:
    assert count_flops(partial(torch.mm, torch.ones(3, 5), torch.ones(5, 7))) == 2 * 3 * 5 * 7
    image, kernel = torch.ones(2, 5, 1, 9), torch.ones(7, 5, 1, 3)
    assert count_flops(partial(F.conv2d, image, kernel, padding=(0, 1))) == 2 * (2 * 9) * (5 * 3) * 7
    query, key, value = torch.ones(3, 2, 4, 11, 8)
    assert count_flops(partial(F.scaled_dot_product_attention, query, key, value)) == 2 * 8 * (
        2 * 11 * 11 * 8
    )

    def attend_and_back() -> None:
        q, k, v = (x.clone().requires_grad_() for x in (query, key, value))
        torch.autograd.backward(F.scaled_dot_product_attention(q, k, v).sum())

    assert count_flops(attend_and_back) == 7 * 8 * (2 * 11 * 11 * 8)  # backwards the scores are made again


def test_shares_compare_with_the_fastest_product_and_with_the_one_beside() -> None:
    measured = Measurement((1, 1, 1, 1), 100, [1.0, 4.0, 2.0], [200.0, 100.0, 100.0], 5, 9)
    assert measured.share == 0.5
    assert measured.median_share == 0.5
    assert measured.added_bytes == 4

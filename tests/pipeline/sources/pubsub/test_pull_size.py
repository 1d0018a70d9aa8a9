"""How many messages a pull asks for, when answers are too large."""

from __future__ import annotations

from capybeam.pipeline.sources.pubsub.pull_size import PullSize


def test_a_portion_is_halved_when_it_is_too_large_and_grows_again_with_ever_more_patience() -> None:
    portion, sizes = PullSize(1000), []
    for _ in range(60):  # an answer holds 300
        sizes.append(portion.size)
        if portion.size > 300:
            portion.too_large(portion.size)
        else:
            portion.taken()
    ramp = [1, 2, 4, 8, 16, 32, 64, 128]
    assert sizes[:10] == [1000, *ramp, 256]
    assert sizes[10:] == [500, *ramp, *[250] * 4, 500, *ramp, *[250] * 8, 500, *ramp, *[250] * 16][:50]
    for _ in range(2000):  # any answer will do
        portion.taken()
    assert portion.size == 1000


def test_a_single_message_is_the_least_that_a_portion_can_be() -> None:
    portion = PullSize(1000)
    portion.too_large(1)
    assert portion.size == 1
    portion.taken()
    portion.taken()
    assert portion.size == 2

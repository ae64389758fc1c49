"""What sources of batches share: even parts, the next batch ahead, digests of tables."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.sharing import Prefetch, digest, part_of
from second_look.errors import DataError


class Numbers:
    """Batch n of process r is n + r / 10; notes who made what."""

    def __init__(self):
        self.requests = []

    def make(self, step, rank, world):
        self.requests.append((step, threading.current_thread() is threading.main_thread()))
        return torch.tensor([step + rank / 10]), torch.tensor([world])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_parts_are_even_and_cover_a_batch_once(world):
    parts = [list(range(*part_of(8, rank, world))) for rank in range(world)]
    assert np.concatenate(parts).tolist() == list(range(8))
    assert {len(part) for part in parts} == {8 // world}


def test_a_batch_that_cannot_be_shared_evenly_says_what_to_do():
    with pytest.raises(DataError, match=r"batch of 9 .* by 2 processes\..*a multiple of 2"):
        part_of(9, 0, 2)


def test_the_next_batch_is_made_in_a_thread_and_used_once():
    batches = Numbers()
    prefetch = Prefetch(batches, 1, 2, torch.device("meta"))
    values = [float(prefetch.get(step)[0]) for step in (0, 1, 2, 7, 8)]
    assert values == pytest.approx([0.1, 1.1, 2.1, 7.1, 8.1])
    asked = dict(batches.requests)
    # Batches 0 and 7 came without notice; the others were made prefetch.
    assert {step: asked[step] for step in (0, 1, 2, 7, 8)} == {
        0: True,
        1: False,
        2: False,
        7: True,
        8: False,
    }
    steps = [step for step, _ in batches.requests]
    assert len(steps) == len(set(steps))


def test_nothing_is_made_ahead_where_it_would_only_take_turns():
    batches = Numbers()
    prefetch = Prefetch(batches, 0, 1, torch.device("cpu"))
    assert [float(prefetch.get(step)[0]) for step in (3, 0)] == [3, 0]
    assert batches.requests == [(3, True), (0, True)]


def test_the_digest_of_a_table_follows_its_content():
    table = pd.DataFrame({"image_id": ["a", "b"], "row": [1, 2]})
    assert digest(table) == digest(table.set_axis([5, 9]))
    assert digest(table) != digest(table.assign(row=[1, 3]))
    assert digest(table) != digest(table[::-1])

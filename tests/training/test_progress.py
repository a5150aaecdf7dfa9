"""What a training says of how far it is."""

import time

import pytest

from piecehub.facts.progress import progress_to
from piecehub.training import progress


def test_a_line_says_epoch_step_loss_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told: list[str] = []
    teller = progress.Progress(epochs=20, steps=285, batch_size=32)
    with progress_to(lambda value: told.append(value.text)):
        for step in range(1, 121):
            now[0] += 0.05 if step > 1 else 30.0  # the first step is traced
            teller.after_step(2, step, {"loss": 0.4123})
    assert told[0] == "epoch 3 of 20, step 41 of 285, loss 0.412, 640 examples/s, 4 min 14 s left"
    assert len(told) == 2


def test_epochs_of_less_than_two_seconds_are_told_of_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told: list[str] = []
    teller = progress.Progress(epochs=20, steps=5, batch_size=64)
    with progress_to(lambda value: told.append(value.text)):
        for epoch in range(20):
            now[0] += 7.0  # an evaluation counts in no speed
            for step in range(1, 6):
                now[0] += 0.25
                teller.after_step(epoch, step, {"loss": 1.5})
    assert told[0] == "epoch 2 of 20, step 5 of 5, loss 1.5, 256 examples/s, 22 s left"
    assert len(told) >= 8

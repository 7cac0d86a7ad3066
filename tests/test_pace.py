"""How fast a training goes, as a calibration or its own first part shows it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis.pace import find_pace, typical_s
from bench.records import Attempt
from calibrations_for_tests import BEGUN_S, EVALUATED_S, SAVED_S, blocks, calibration
from records_for_tests import epochs, ok_trial, start_up, trial


def test_a_whole_training_shows_all_of_it() -> None:
    """Steps, validations, checkpoints and the training's time are those of its events."""
    pace = find_pace(trial(), ok_trial(trial()).events)
    assert pace is not None
    assert (pace.start_s, pace.epochs_begun, pace.steps_done) == (5.0, 2, {None: 20})
    assert (list(pace.validate_s), list(pace.checkpoint_s)) == ([1.0, 1.0], [0.5, 0.5])
    assert pace.train_s == pytest.approx(20.0)
    assert pace.evaluate_image_s == pytest.approx(1.0 / 100)
    assert not pace.is_calibration


def test_what_ended_later_was_not_seen() -> None:
    """At 16 s on the trial's clock its first epoch is validated, and neither saved nor followed by another."""
    pace = find_pace(trial(), ok_trial(trial()).events, until_s=16.2)
    assert pace is not None
    assert (pace.steps_done, pace.epochs_begun) == ({None: 10}, 1)
    assert (len(pace.validate_s), len(pace.checkpoint_s)) == (1, 0)
    assert pace.at_s == 16.0  # what was in the making at 16.2 s is still to come


def test_a_block_is_seen_as_far_as_it_was_stamped() -> None:
    """Of two blocks of one event, the one that ended in time counts."""
    pace = find_pace(trial(), ok_trial(trial()).events, until_s=9.5)
    assert pace is not None
    assert pace.steps_done == {None: 4}
    assert pace.train_s == pytest.approx(4.0)


def test_before_the_first_step_nothing_is_known() -> None:
    """Start-up alone has no pace."""
    assert find_pace(trial(), ok_trial(trial()).events, until_s=6.0) is None
    assert find_pace(trial(), ()) is None


def test_a_calibration_counts_what_a_training_would_do_before_its_first_step() -> None:
    """The evaluation that it times is no part of a training's start-up; its checkpoint is."""
    data = calibration(trial())
    pace = find_pace(data.trial, data.events)
    assert pace is not None
    assert pace.is_calibration
    assert pace.start_s == pytest.approx(BEGUN_S - EVALUATED_S)
    assert pace.first_checkpoint_s == pytest.approx(SAVED_S)
    assert pace.evaluate_image_s == pytest.approx(EVALUATED_S / 100)


def test_the_first_steps_of_an_epoch_are_told_from_the_others() -> None:
    """What an epoch's begin costs stands apart from what each step costs."""
    data = calibration(trial(), (4.0, *[1.0] * 19))
    pace = find_pace(data.trial, data.events)
    assert pace is not None
    assert pace.epoch_start_s == pytest.approx(3.0)
    assert pace.steps_s[None] == pytest.approx([1.0] * 19)


def test_a_single_block_is_all_that_there_is_to_go_by() -> None:
    """Where only an epoch's first steps were seen, they stand for the others."""
    data = calibration(trial(), (4.0,))
    pace = find_pace(data.trial, data.events)
    assert pace is not None
    assert pace.steps_s[None] == pytest.approx([4.0])
    assert pace.epoch_start_s == 0.0


def test_steps_are_kept_apart_by_the_height_of_their_images() -> None:
    """Smaller images take less time, so the steps of a stage are of their own."""
    asked = trial()
    small = blocks([0.25] * 6, start_s=5.0, image_height=16)
    pace = find_pace(asked, [*start_up(asked), *small, *blocks([1.0] * 6, start_s=6.5)])
    assert pace is not None
    assert typical_s(pace.steps_s[16]) == pytest.approx(0.25)
    assert typical_s(pace.steps_s[None]) == pytest.approx(1.0)


def test_what_a_lost_process_did_is_not_seen() -> None:
    """Of an epoch that was done twice, the second time counts."""
    asked = trial()
    lost = [*start_up(asked), *epochs(asked)[:5], *epochs(asked, first=2, start_s=16.5, train_s=99.0)[:1]]
    again = [Attempt(number=2, unix_s=1.8e9, offset_s=16.5, epochs_done=1), *epochs(asked, first=2, start_s=20.0)]
    pace = find_pace(asked, [*lost, *again])
    assert pace is not None
    assert pace.train_s == pytest.approx(20.0)


def test_one_pause_does_not_stand_for_hours() -> None:
    """A step of a hundred times the others counts as two of them; slow and quick ones otherwise as they are."""
    assert typical_s(np.array([1.0] * 49 + [100.0])) == pytest.approx(1.02)
    assert typical_s(np.array([1.0, 1.0, 1.6])) == pytest.approx(1.2)

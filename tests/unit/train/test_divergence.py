import pytest
import torch

from segpipe.errors import InputError
from segpipe.train.distributed import ProcessGroup
from segpipe.train.loop import MOST_SKIPPED, DivergenceCheck

NAN, ONE = torch.tensor(float("nan")), torch.tensor(1.0)


def watch(scales=False, device="cpu"):
    return DivergenceCheck(
        ProcessGroup(torch.device(device)), scales, lambda step, problem: f"step {step}: {problem}", 7
    )


def test_a_cpu_looks_at_each_step_and_a_gpu_at_twenty_at_once():
    assert watch().add(ONE, ONE)
    gpu = watch(device="cuda")
    assert [gpu.add(ONE, ONE) for _ in range(20)] == [False] * 19 + [True]
    assert gpu.losses() == [1.0] * 20
    assert gpu.losses() == []


def test_a_late_look_still_names_the_step_that_went_wrong():
    gpu = watch(device="cuda")
    for loss in (ONE, ONE, NAN, NAN):
        gpu.add(loss, ONE)
    with pytest.raises(InputError, match=r"^step 9: the loss became NaN or infinite$"):
        gpu.losses()


def test_a_gradient_that_is_no_number_stops_before_the_weights_are_used():
    seen = watch()
    seen.add(ONE, ONE / 0)
    with pytest.raises(InputError, match="step 7: the gradient became NaN or infinite"):
        seen.losses()


def test_the_scaler_of_float16_may_skip_steps_but_not_for_ever():
    seen = watch(scales=True)
    for norm in (NAN, NAN, ONE):
        seen.add(ONE, norm)
        seen.losses()
    assert seen.skipped == 2
    for _ in range(MOST_SKIPPED):
        seen.add(ONE, NAN)
    with pytest.raises(InputError, match=r"overflowed in 30 steps in a row .*bfloat16"):
        seen.losses()


def test_short_epochs_do_not_hide_that_float16_overflows_in_every_step():
    skipped = 0
    for _ in range(MOST_SKIPPED - 1):  # epochs of one step
        seen = DivergenceCheck(ProcessGroup(torch.device("cpu")), True, lambda _, problem: problem, 0, skipped)
        seen.add(ONE, NAN)
        seen.losses()
        skipped = seen.skipped_in_a_row
    last = DivergenceCheck(ProcessGroup(torch.device("cpu")), True, lambda _, problem: problem, 0, skipped)
    last.add(ONE, NAN)
    with pytest.raises(InputError, match="overflowed in 30 steps in a row"):
        last.losses()

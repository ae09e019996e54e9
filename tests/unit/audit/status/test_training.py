import pytest

from segpipe.audit.status.overview import Progress, progress_in_history, progress_in_log

LINE = (
    "2026-11-26 20:54:47,774 INFO fold0 epoch {}/75: loss 1.4611, val MIoU {} (best {} in epoch {}), "
    "16.7 images/s, about 340 s left\n"
)


def test_the_last_epoch_of_the_log_counts(tmp_path):
    log = tmp_path / "fold0.log"
    log.write_text(LINE.format(11, "0.9312", "0.9312", 11) + LINE.format(12, "0.9301", "0.9312", 11) + "something\n")
    assert progress_in_log(log) == Progress(12, 75, 0.9301, 0.9312, 11, 340)


@pytest.mark.parametrize("text", ["", "2026-11-26 20:54:47,035 INFO fold0: 7 images to train\n"])
def test_before_the_first_epoch_there_is_no_progress(tmp_path, text):
    (tmp_path / "log").write_text(text)
    assert progress_in_log(tmp_path / "log") is None
    assert progress_in_log(tmp_path / "missing") is None


def test_the_loops_own_line_is_understood(prepared, tmp_path, caplog):
    """By a training, so that a new wording there is noticed here."""
    import logging

    from segpipe.train.stage import train_model
    from tests.unit.prepared import stage

    with caplog.at_level(logging.INFO, "segpipe"):
        train_model(
            stage("train", epochs=2), prepared / "dataset.parquet", prepared / "shards", "fold0", tmp_path / "fold0"
        )
    (tmp_path / "log").write_text("\n".join(caplog.messages))
    said, kept = progress_in_log(tmp_path / "log"), progress_in_history(tmp_path / "fold0/history.csv")
    assert (said.epoch, said.epochs, kept.epoch) == (2, 2, 2)
    assert (said.best_epoch, round(said.best, 3)) == (kept.best_epoch, round(kept.best, 3))


def test_a_history_gives_the_best_epoch_also_where_some_were_not_validated(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,learning_rate,loss,val_miou\n1,0.1,1.0,\n2,0.1,0.9,0.95\n3,0.1,0.8,\n4,0.1,0.7,0.93\n5,0.1,0.6,\n"
    )
    assert progress_in_history(history) == Progress(5, 5, 0.93, 0.95, 2)
    history.write_text("epoch,loss\n1,2\n")
    assert progress_in_history(history) is None
    assert progress_in_history(tmp_path / "missing") is None

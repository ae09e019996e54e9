"""TensorBoard's event files, written record by record: without the host's name in theirs, as torch's writer has it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardFile:
    """Scalars of each epoch, and previews, in ``folder``.

    A file is named after its first epoch. Training that goes on after a kill may repeat an epoch that was written:
    files from that epoch on are removed, and a start mark tells TensorBoard to forget later steps of the others.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._events, self._summaries, self._writer_of = event_pb2, summary_pb2, RecordWriter
        self._folder = folder
        self._file: Path | None = None

    def epoch(self, row: Mapping[str, float | int], preview: Path | None) -> None:
        """Append the epoch's numbers; the file is opened by the first."""
        step = int(row["epoch"])
        if self._file is None:
            self._file = self._start(step)
        values = [
            self._summaries.Summary.Value(tag=f"training/{name}", simple_value=value)  # one group, side by side
            for name, value in row.items()
            if name != "epoch"
        ]
        if preview and preview.exists():
            picture = self._summaries.Summary.Image(encoded_image_string=preview.read_bytes(), colorspace=3)
            values.append(self._summaries.Summary.Value(tag="preview", image=picture))
        self._write(self._file, step=step, summary=self._summaries.Summary(value=values))

    def close(self) -> None:
        """Nothing is open between epochs."""

    def _start(self, step: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("events.out.tfevents.*"):
            if int(path.name.split(".")[3]) >= step:
                path.unlink()
        # TensorBoard reads the files of a folder in the order of their names.
        file = self._folder / f"events.out.tfevents.{step:010d}.segpipe"
        self._write(file, file_version="brain.Event:2")
        self._write(file, step=step, session_log=self._events.SessionLog(status=self._events.SessionLog.START))
        return file

    def _write(self, file: Path, **content: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **content)
        with file.open("ab") as opened:
            self._writer_of(opened).write(event.SerializeToString())

"""What training leaves behind for later stages and for people."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from segpipe import __version__
from segpipe.io.atomic import atomic_path, write_text
from segpipe.log import logger
from segpipe.model.card import SEEN, ModelCard, pictures_seen
from segpipe.model.weights import save_model
from segpipe.stages import TrainStage
from segpipe.train.contract import contract_hash
from segpipe.train.state import TrainState


def write_outputs(
    stage: TrainStage, state: TrainState, facts: Mapping[str, str | int], seen: pd.Series, output: Path
) -> None:
    """Write ``history.csv``, and the best weights as ``model.safetensors`` with their ``model.json``.

    ``training.csv`` holds the hashes of the pictures that were ``seen``, also by the model it started from, so that
    its later users can tell them from new ones.

    Nothing here tells time, so that the same training gives the same bytes.
    """
    with atomic_path(output / "history.csv") as temporary:
        pd.DataFrame(state.history).to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    before = pictures_seen(stage.model.init) if stage.model.init else set()
    write_text(output / SEEN, "\n".join(["picture", *sorted(before.difference(seen)), *sorted(seen)]) + "\n")
    card = ModelCard(
        network=stage.model.network,
        options=stage.model.options,
        classes=stage.classes,
        preprocess=stage.preprocess.model_dump(mode="json"),
        dicom=stage.dicom.model_dump(mode="json"),
        provenance={
            **facts,
            "seed": stage.seed,
            "contract": contract_hash(state.contract),
            "batch_size": state.batch_size,
            "processes": state.processes,
            "best_epoch": state.best_epoch,
            "epochs": state.epoch,
            "val_miou": round(state.best_miou, 6),
            "segpipe": __version__,
            "torch": torch.__version__,
        },
    )
    save_model(output, state.best_weights, card)
    logger.info("%s: best val MIoU %.4f in epoch %d", facts["model"], state.best_miou, state.best_epoch)

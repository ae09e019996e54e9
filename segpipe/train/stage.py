"""The train stage: train one model, and write what later stages need of it."""

import logging
from pathlib import Path

import pandas as pd
import torch

from segpipe import __version__
from segpipe.config.stages import TrainStage
from segpipe.files.atomic import atomic_path, write_text
from segpipe.log import logger
from segpipe.models.card import SEEN, ModelCard, pictures_seen
from segpipe.models.device import choose_precision, fix_arithmetic
from segpipe.models.weights import save_model
from segpipe.train.checkpoints import TrainState, fingerprint_hash
from segpipe.train.distributed import join
from segpipe.train.loop import train_to_the_end
from segpipe.train.roles import Roles, read_roles
from segpipe.train.scratch import nearby


def train_model(
    stage: TrainStage,
    dataset: Path,
    shards: Path,
    model: str,
    output: Path,
    require_checkpoint: bool = False,
    scratch: str | None = None,
) -> None:
    """Train one model; write ``model.safetensors``, ``model.json``, ``history.csv`` and ``training.csv``.

    ``output/checkpoints`` holds the last state: whatever stops this function, the next call goes on from there and
    ends with the same bytes. If training with this very config and data was finished before, only the outputs are
    written again. Under torchrun this is one of several processes that train the model together. With ``scratch``, a
    folder of this node, the shards are read from a copy there.

    Raises:
        InputError: a role without images, or a loss that is no longer a number.
        ConfigError: what does not fit into memory; with ``require_checkpoint``, no checkpoint of these settings.
        InterruptedRun: SIGTERM or Ctrl-C; the state was saved.
    """
    with join(stage.train.device) as group:
        if not group.is_first:
            logger.setLevel(logging.ERROR)  # the first process tells the rest
        fix_arithmetic(stage.train.threads, stage.train.deterministic, stage.train.tf32)
        roles = read_roles(dataset, stage, model)
        with nearby(shards, roles.shards, scratch) as stores:
            state = train_to_the_end(stage, roles, stores, model, output, group, require_checkpoint)
        if group.is_first:
            write_outputs(stage, state, roles, model, group.device, output)


def write_outputs(
    stage: TrainStage, state: TrainState, roles: Roles, model: str, device: torch.device, output: Path
) -> None:
    """Write ``history.csv``, and the best weights as ``model.safetensors`` with their ``model.json``.

    ``training.csv`` holds the hashes of the pictures that trained or validated the model, or the one it started from,
    so that its later users can tell them from new ones.

    Nothing here tells time, so that the same training gives the same bytes.
    """
    with atomic_path(output / "history.csv") as temporary:
        pd.DataFrame(state.history).to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    seen = pd.concat([roles.train["picture"], roles.val["picture"]])
    before = pictures_seen(stage.model.init) if stage.model.init else set()
    write_text(output / SEEN, "\n".join(["picture", *sorted(before.difference(seen)), *sorted(seen)]) + "\n")
    card = ModelCard(
        network=stage.model.network,
        options=stage.model.options,
        classes=stage.classes,
        preprocess=stage.preprocess.model_dump(mode="json"),
        dicom=stage.dicom.model_dump(mode="json"),
        raster=stage.raster.model_dump(mode="json"),
        provenance={
            "model": model,
            "device": device.type,
            "precision": str(choose_precision(stage.train.precision, device)).removeprefix("torch."),
            "train_images": len(roles.train),
            "train_patients": roles.train["patient"].nunique(),
            "val_images": len(roles.val),
            "val_patients": roles.val["patient"].nunique(),
            "seed": stage.seed,
            "fingerprint": fingerprint_hash(state.fingerprint),
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
    logger.info("%s: best val MIoU %.4f in epoch %d", model, state.best_miou, state.best_epoch)

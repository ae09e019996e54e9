"""nnU-Net's own trainer as a contestant of train_step.py; `nnunetv2` is imported when it is made."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from step_peers import CLASSES, Setting

from segpipe.models.networks.registry import parameter_count
from segpipe.preprocess.store import open_store


class NnUNet:
    """nnU-Net's own trainer, plan, preprocessing, loader and augmentation on the same pictures.

    Its masks are labels that exclude each other, so the heart is cut out of the lung.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        folders = {f"nnUNet_{part}": str(folder / part) for part in ("raw", "preprocessed", "results")}
        os.environ |= {**folders, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}  # planning knows no 0
        name = "Dataset001_Phantoms"
        _write_nnunet(setting, folder / "raw" / name)
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api

        api.extract_fingerprint_dataset(1, num_processes=1)
        api.plan_experiment_dataset(1)
        api.preprocess_dataset(1, configurations=("2d",), num_processes=(1,))
        folder = folder / "preprocessed" / name
        self.plans = {**json.loads((folder / "nnUNetPlans.json").read_text()), "continue_training": False}
        self.dataset = json.loads((folder / "dataset.json").read_text())
        self.batch_size = self.plans["configurations"]["2d"]["batch_size"]
        self.patch_size = self.plans["configurations"]["2d"]["patch_size"]
        self.setting = setting

    def build(self) -> int:
        """The trainer as `nnUNetv2_train 1 2d all` makes it."""
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        os.environ |= {"nnUNet_n_proc_DA": str(self.setting.workers)}  # 0: in this process
        torch.set_num_threads(self.setting.threads)
        random.seed(0)
        np.random.seed(0)
        self.trainer = nnUNetTrainer(self.plans, "2d", "all", self.dataset, torch.device(self.setting.device))
        self.trainer.initialize()
        self.loader, self.other = self.trainer.get_dataloaders()
        self.trainer.network.train()
        return parameter_count(self.trainer.network)

    def source(self, _: int) -> Iterator[Any]:
        """Without end, drawn with replacement."""
        while True:
            yield next(self.loader)

    def step(self, batch: Any) -> None:
        """Its own."""
        self.trainer.train_step(batch)

    def close(self) -> None:
        """Stop its workers."""
        for loader in (self.loader, self.other):
            if self.setting.workers:
                loader._finish()


def _write_nnunet(setting: Setting, folder: Path) -> None:
    """The pictures of the store as nnU-Net wants them."""
    store = open_store(setting.store / "0000")
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number, (image, bits) in enumerate(zip(store.images, store.masks, strict=True)):
        cv2.imwrite(str(folder / "imagesTr" / f"p{number:03d}_0000.png"), image)
        labels = np.where(bits & 2, 2, bits & 1).astype(np.uint8)
        cv2.imwrite(str(folder / "labelsTr" / f"p{number:03d}.png"), labels)
    labels = {"background": 0, **{name: number + 1 for number, name in enumerate(CLASSES)}}
    facts = {"channel_names": {"0": "radiograph"}, "labels": labels, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps({**facts, "numTraining": len(store.images)}))

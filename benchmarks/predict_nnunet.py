"""nnU-Net's own 2-D network and its `predict`, for predict.py; `nnunetv2` is imported when it is needed.

    python benchmarks/predict_nnunet.py FOLDER

plans for phantoms of 1024 x 1024 and writes an untrained model to FOLDER/model: what predicting costs does not depend
on what a network has learned.
"""

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAME = "Dataset001_Phantoms"
LABELS = {"background": 0, "lung": 1}


def set_up(folder: Path) -> None:
    """Its three folders, before it is imported."""
    os.environ |= {f"nnUNet_{part}": str(folder / part) for part in ("raw", "preprocessed", "results")}
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}


def make_model(folder: Path, images: int, size: int) -> None:
    """Its fingerprint, its plan, and its network with random weights, as `nnUNetv2_train 1 2d all` leaves it."""
    set_up(folder)
    raw = folder / "raw" / NAME
    _write_phantoms(raw, images, size)
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprint_dataset(1, num_processes=1)
    api.plan_experiment_dataset(1)
    api.preprocess_dataset(1, configurations=("2d",), num_processes=(1,))  # the trainer looks at the files
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans = json.loads((folder / "preprocessed" / NAME / "nnUNetPlans.json").read_text())
    facts = json.loads((raw / "dataset.json").read_text())
    trainer = nnUNetTrainer({**plans, "continue_training": False}, "2d", "all", facts, torch.device("cpu"))
    trainer.initialize()
    model = folder / "model"
    (model / "fold_all").mkdir(parents=True)
    trainer.save_checkpoint(str(model / "fold_all" / "checkpoint_final.pth"))
    (model / "plans.json").write_text(json.dumps(plans))
    shutil.copy(raw / "dataset.json", model)


def predict(model: Path, images: Path, output: Path, device: str, threads: int) -> None:
    """`nnUNetv2_predict`, with one process before the network and one behind it."""
    set_up(model.parent)
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    torch.set_num_threads(threads)
    predictor = nnUNetPredictor(device=torch.device(device), perform_everything_on_device=True)
    predictor.initialize_from_trained_model_folder(str(model), ("all",))
    predictor.predict_from_files(
        str(images), str(output), num_processes_preprocessing=1, num_processes_segmentation_export=1
    )


def preprocessor(model: Path) -> Any:
    """Its preprocessing of a file, as a function of the path and of where to write it (None: nowhere)."""
    set_up(model.parent)
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, facts = (json.loads((model / name).read_text()) for name in ("plans.json", "dataset.json"))
    manager = PlansManager(plans)
    configuration = manager.get_configuration("2d")
    work = configuration.preprocessor_class(verbose=False)
    common = (None, manager, configuration, facts)

    def run(path: Path, output: Path | None) -> object:
        return work.run_case_save(str(output), [str(path)], *common) if output else work.run_case([str(path)], *common)

    return run


def what_it_does(model: Path) -> str:
    """Its plan in a sentence."""
    plan = json.loads((model / "plans.json").read_text())["configurations"]["2d"]
    stages = plan["architecture"]["arch_kwargs"]["features_per_stage"]
    patch = " x ".join(map(str, plan["patch_size"]))
    return f"windows of {patch} at original resolution, four times each (mirrored); channels {stages}"


def _write_phantoms(folder: Path, images: int, size: int) -> None:
    from segpipe.demo.render import phantom_arrays

    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for seed in range(images):
        pixels, masks = phantom_arrays(seed, (size, size))
        cv2.imwrite(str(folder / "imagesTr" / f"p{seed:03d}_0000.png"), np.rint(pixels * 255).astype(np.uint8))
        cv2.imwrite(str(folder / "labelsTr" / f"p{seed:03d}.png"), masks["lung"].astype(np.uint8))
    facts = {"channel_names": {"0": "radiograph"}, "labels": LABELS, "file_ending": ".png", "numTraining": images}
    (folder / "dataset.json").write_text(json.dumps(facts))


def main() -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    make_model(arguments.folder.resolve(), arguments.images, arguments.size)


if __name__ == "__main__":
    main()

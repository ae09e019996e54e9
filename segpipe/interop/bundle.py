"""A MONAI bundle: a folder with weights, metadata and the pipeline as a config that `monai.bundle` runs."""

import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segpipe import __version__
from segpipe.config.data import have_label_values
from segpipe.files.atomic import canonical_json, write_bytes, write_text
from segpipe.masks.encode import mask_form
from segpipe.models.card import ModelCard
from segpipe.models.device import to_input

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
# MONAI warns where a bundle has no such file; with this one, logs stay as they are.
LOGGING = """[loggers]
keys=root
[handlers]
keys=
[formatters]
keys=
[logger_root]
handlers=
"""
README = """# How to use this bundle

It needs segpipe {version}, whose readers, transforms and network it names in `configs/inference.json`: `pip install
segpipe`. It reads DICOM, PNG, JPEG, TIFF, BMP, GIF and NIfTI files, in folders of any depth. Classes: {classes}.

With segpipe alone (files are read in processes of their own, so that a broken one cannot stop the rest):

    segpipe predict FOLDER --model {name} --output masks

With MONAI (`pip install 'monai[fire]'`); from this folder:

    python -m monai.bundle run --config_file configs/inference.json --dataset_dir FOLDER --output_dir masks

`models/model.safetensors` holds the weights, and is what both commands read; `models/model.json` says how images are
prepared. `models/model.pt` has the same weights as a state dict, tensors only, for programs that look for it:
`torch.load(path, weights_only=True)`. A MONAI config can run any code: run only bundles that you trust.

The masks are what they are described to be in `MODEL_CARD.md`: please read it.
"""


def write_bundle(card: ModelCard, network: nn.Module, output: Path) -> None:
    """Add configs, docs and ``model.pt`` to ``output``, whose ``models`` folder has the model."""
    write_text(output / "configs" / "metadata.json", canonical_json(metadata(card)))
    write_text(output / "configs" / "inference.json", canonical_json(inference(card)))
    write_text(output / "configs" / "logging.conf", LOGGING)
    classes = ", ".join(card.classes)
    write_text(output / "docs" / "README.md", README.format(version=__version__, classes=classes, name=output.name))
    weights = io.BytesIO()
    torch.save(network.state_dict(), weights)
    write_bytes(output / "models" / "model.pt", weights.getvalue())


def inference(card: ModelCard) -> dict[str, Any]:
    """The pipeline: the functions that segpipe itself uses, in order."""
    exclusive = mask_form("auto", card.classes, have_label_values(card.classes)) == "labels"
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "images",
        "output_dir": "masks",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "segpipe.models.networks.registry.build_network",
            "name": card.network,
            "classes": len(card.classes),
            "options": card.options,
        },
        "weights": "$@bundle_root + '/models/model.safetensors'",
        "network": {
            "_target_": "segpipe.interop.bundle_run.with_weights",
            "network": "@network_def",
            "weights": "@weights",
            "device": "@device",
        },
        "predict": {"_target_": "segpipe.config.Predict", "threshold": 0.5, "batch_size": 4},
        "preprocessing": {
            "_target_": "segpipe.preprocess.transforms.preprocessing",
            "classes": {},
            "missing": "quarantine",
            "preprocess": {"_target_": "segpipe.config.Preprocess", **card.preprocess},
            "dicom": {"_target_": "segpipe.config.Dicom", **card.dicom},
            "raster": {"_target_": "segpipe.config.Raster", **card.raster},
        },
        "dataset": {
            "_target_": "Dataset",
            "data": {
                "_target_": "segpipe.interop.bundle_run.image_files",
                "folder": "@dataset_dir",
                "output": "@output_dir",
            },
            "transform": "@preprocessing",
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "segpipe.predict.postprocess.postprocessing",
            "predict": "@predict",
            "exclusive": exclusive,
        },
        "evaluator": {
            "_target_": "segpipe.interop.bundle_run.Evaluator",
            "dataset": "@dataset",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "predict": "@predict",
            "classes": card.classes,
            "device": "@device",
            "output": "@output_dir",
        },
        "run": ["$@evaluator.run()"],
    }


def metadata(card: ModelCard) -> dict[str, Any]:
    """What MONAI's schema asks for, and no more than the model knows."""
    size = card.preprocess["size"]
    low, high = (float(value) for value in to_input(torch.tensor([0.0, 1.0])))
    classes = {str(index): name for index, name in enumerate(card.classes)}
    picture = {"type": "image", "format": "magnitude", "modality": "radiograph", "num_channels": 1}
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by segpipe"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {"segpipe": __version__, "safetensors": version("safetensors")},
        "name": f"Segmentation of {', '.join(card.classes)}",
        "task": f"Segmentation of {', '.join(card.classes)} in radiographs",
        "description": f"{card.network}, trained by segpipe; see MODEL_CARD.md",
        "authors": "to be filled in by those who trained the model",
        "copyright": "to be filled in by those who trained the model",
        "intended_use": "research; see MODEL_CARD.md",
        "network_data_format": {
            "inputs": {
                "image": {
                    **picture,
                    "spatial_shape": [size, size],
                    "dtype": "float32",
                    "value_range": [low, high],
                    "is_patch_data": False,
                    "channel_def": {"0": "grey value, bone bright"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "logits",
                    "format": "segmentation",
                    "num_channels": len(card.classes),
                    "spatial_shape": [size, size],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": classes,
                }
            },
        },
    }

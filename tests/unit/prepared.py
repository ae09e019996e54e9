"""A small prepared dataset that the tests of training and prediction share."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.dataset.stage import gather
from segpipe.demo.render import phantom_arrays
from segpipe.preprocess.geometry import plan_fit
from segpipe.preprocess.quality import THUMBNAIL, perceptual_hash
from segpipe.preprocess.store import pack_bits, stack_writer, write_table

SIZE, IMAGES = 64, 12


def prepare(folder: Path) -> Path:
    """Write shards/0000, shards/0001 and dataset.parquet of a dozen small phantoms."""
    tables = []
    for shard in range(2):
        store = folder / "shards" / f"{shard:04d}"
        rows = []
        with (
            stack_writer(store / "images.npy", IMAGES // 2, (SIZE, SIZE), np.dtype(np.uint8)) as images,
            stack_writer(store / "masks.npy", IMAGES // 2, (SIZE, SIZE), np.dtype(np.uint8)) as masks,
        ):
            for number in range(shard, IMAGES, 2):
                pixels, truth = phantom_arrays(number, (SIZE, SIZE))
                image = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
                images.append(image)
                small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
                masks.append(pack_bits(np.stack([truth["lung"], truth["heart"]])))
                geometry = vars(plan_fit((100, 80 + number), SIZE, "letterbox"))
                rows.append(
                    {"image_id": f"i{number:02d}", "image": "", "patient": f"p{number}", "site": "", "fold_wanted": "",
                     "status": "labelled", "notes": "", "picture": f"s{number}", "content": f"c{number}",
                     "perceptual_hash": perceptual_hash(small), "thumbnail": small.tobytes(), **geometry}
                )  # fmt: skip
        tables.append(store / "table.parquet")
        write_table(tables[-1], pd.DataFrame(rows))
    gather(stage("dataset"), tables, folder)
    return folder


def stage(name, **train):
    config = parse_config(
        {
            "data": {"images": "{p}.png", "masks": {"lung": "l/{p}.png", "heart": "h/{p}.png"}},
            "preprocess": {"size": SIZE},
            "folds": {"k": 2, "val_fraction": 0.3},
            "model": {"network": "unet", "options": {"channels": [4, 8, 16], "num_res_units": 0}},
            "train": {"epochs": 3, "batch_size": 2, "threads": 1, "preview_every": 0, "learning_rate": 0.01, **train},
        }
    )
    return stage_configs(config, [])[name]

"""``segpipe lr-find``: which learning rate suits a prepared run."""

from pathlib import Path

from segpipe.config import Config
from segpipe.config_file import load_config
from segpipe.errors import ConfigError, InputError
from segpipe.io.atomic import atomic_path
from segpipe.stages import TrainStage, stage_configs, stage_text
from segpipe.train.lr_find import FEWEST, range_test
from segpipe.train.lr_picture import write_picture

PREPARED_BY = ("preprocess", "dataset")  # stages


def find_learning_rate(
    path: Path, model: str | None, steps: int, lowest: float, highest: float, output: Path | None
) -> str:
    """Run the test on the shards of a run; write ``lr-find.csv`` and ``lr-find.png``; the text for the terminal.

    Raises:
        ConfigError: a wrong config, model or range.
        InputError: the run is not prepared, or was prepared with other settings.
    """
    config = load_config(path)
    if not 0 < lowest < highest or steps < FEWEST:
        raise ConfigError(
            f"lr-find: {steps} steps from {lowest:g} to {highest:g}; it needs 0 < lowest < highest and {FEWEST} steps"
        )
    if config.model.weights:
        raise ConfigError("lr-find: with model.weights nothing is trained; remove them from the config.")
    model = model or config.folds.models[0]
    _check_prepared(config, path)
    stage = stage_configs(config, [])["train"]
    assert isinstance(stage, TrainStage)
    folder, used = config.folder, stage.train.learning_rate
    found = range_test(stage, folder / "dataset/dataset.parquet", folder / "shards", model, steps, lowest, highest)
    target = output or folder / "lr-find" / model
    with atomic_path(target / "lr-find.csv") as temporary:
        found.table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    write_picture(found, target / "lr-find.png", model, used)
    return (
        f"{model}: {len(found.table)} steps from {lowest:g} to {found.table['learning_rate'].iloc[-1]:.2g}"
        f"{', where the loss diverged' if found.diverged else ''}\n"
        f"  lowest loss at      {found.lowest:.2g}\n"
        f"  steepest descent at {found.steepest:.2g}, the careful choice\n"
        f"suggestion, a tenth of the rate of the lowest loss: train.learning_rate: {found.suggestion:.2g} "
        f"(the config has {used:g})\n"
        f"{target / 'lr-find.png'}"
    )


def _check_prepared(config: Config, path: Path) -> None:
    """The shards are there, and are what this config would make."""
    folder = config.folder
    mend = f"`snakemake --cores all --configfile {path} --until dataset` does it."
    if not (folder / "dataset/dataset.parquet").exists():
        raise InputError(f"{folder} is not prepared: {folder}/dataset/dataset.parquet is missing. {mend}")
    stages = stage_configs(config, [])
    for name in PREPARED_BY:
        written = folder / "config" / f"{name}.json"
        if not written.exists() or written.read_text(encoding="utf-8") != stage_text(stages[name]):
            raise InputError(
                f"{folder} was prepared with other settings than those of {path}: {written} differs. Prepare it "
                f"anew; {mend}"
            )

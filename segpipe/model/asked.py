"""Whether the networks and models that a config asks for can be had; without torch, before any job runs."""

from segpipe.config import Config
from segpipe.errors import ConfigError
from segpipe.model.card import check_contract, read_card
from segpipe.model.networks import check_options


def check_models(config: Config) -> None:
    """Check ``model``, ``compare.networks`` and the folders of given models.

    Raises:
        ConfigError: an unknown network or option, or a given model of other settings; the text names it.
        InputError: a folder that holds no model.
    """
    # Where given models or a comparison's networks take its place, the config's own need not fit the pictures.
    replaced = config.model.weights or (config.compare and config.compare.networks)
    check_options(config.model.network, config.model.options, None if replaced else config.preprocess.size)
    for name, each in (config.compare.networks if config.compare else {}).items():
        try:
            check_options(each.network, each.options, config.preprocess.size)
        except ConfigError as error:
            raise ConfigError(f"compare.networks.{name}.{str(error).removeprefix('model.')}") from None
    for number, folder in enumerate(config.model.weights):
        if folder.absolute() in [other.absolute() for other in config.model.weights[:number]]:
            raise ConfigError(f"model.weights: {folder} is listed twice, so that it would count double in the mean.")
        check_contract(read_card(folder), folder, config.class_values, config.preprocess, config.dicom)
    if config.model.init:
        read_card(config.model.init)  # training lists what does not fit

"""segpipe: from a folder of radiographs to masks and one MIoU per image."""

__version__ = "0.2.0"

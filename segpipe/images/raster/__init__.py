"""PNG, JPEG, TIFF, BMP and GIF, as docs/rasters.md says; read.py is the first."""

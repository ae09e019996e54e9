"""DICOM radiographs: from a file's bytes to grey values as docs/dicom.md says; read.py is the first."""

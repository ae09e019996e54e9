"""DICOM radiographs: from a file's bytes to grey values, a step of docs/dicom.md in each file; read.py is the first."""

"""The average thorax as outlines in body coordinates (:mod:`segpipe.phantom.anatomy`).

Paired parts are those on the left of the picture, the patient's right.
"""

import numpy as np


def _points(text: str) -> np.ndarray:
    """(n, 2) float64 from "x,y x,y ..."."""
    return np.array([pair.split(",") for pair in text.split()], dtype=np.float64)


# From the apex down the chest wall, along the diaphragm (DIAPHRAGM) and up beside the spine.
LUNG = _points(
    "-0.42,-1.00 -0.62,-0.90 -0.78,-0.62 -0.88,-0.20 -0.93,0.25 -0.96,0.62 -0.96,0.92 "
    "-0.80,0.72 -0.55,0.60 -0.32,0.63 -0.16,0.76 -0.14,0.40 -0.16,0.00 -0.17,-0.40 "
    "-0.20,-0.80 -0.28,-0.96"
)
DIAPHRAGM = slice(6, 11)
HEART = _points(
    "-0.12,-0.20 -0.24,0.05 -0.30,0.30 -0.27,0.54 -0.12,0.68 0.15,0.76 0.42,0.77 "
    "0.60,0.67 0.58,0.46 0.44,0.18 0.26,-0.05 0.12,-0.20"
)
MEDIASTINUM = _points(
    "-0.15,-1.60 -0.17,-1.00 -0.20,-0.55 -0.22,-0.10 -0.20,0.35 0.20,0.35 0.24,-0.05 "
    "0.19,-0.20 0.30,-0.36 0.27,-0.48 0.16,-0.60 0.17,-1.00 0.15,-1.60"
)
HALF_BODY = _points(
    "-0.28,-2.60 -0.32,-1.45 -0.80,-1.22 -1.35,-1.08 -1.80,-0.70 -2.00,0.60 -1.50,0.40 "
    "-1.24,-0.15 -1.17,0.30 -1.16,0.90 -1.22,2.60"
)
SCAPULA = _points("-0.86,-0.92 -1.18,-0.86 -1.22,-0.62 -1.04,0.05 -0.94,-0.05")
# A curve from the breastbone to the shoulder.
CLAVICLE = _points("-0.10,-0.70 -0.30,-0.74 -0.60,-0.90 -0.90,-0.98 -1.15,-0.98")
BREAST = _points("-0.95,0.30 -0.60,0.15 -0.28,0.35 -0.35,0.72 -0.70,0.85 -1.02,0.68")

"""CPU time of HD95, ASSD and NSD of a pair of masks: segpipe beside MONAI, scipy, OpenCV and others that are installed.

Pictures have two lungs, the prediction shifted and rippled. Peers get the union's bounding box where they do not cut
themselves. Libraries that are missing are left out; `pip install --target peers --no-deps ...` and PYTHONPATH add them.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from harness import print_machine, print_table
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from segpipe.config import Score
from segpipe.score.measure import measure
from segpipe.score.overlap import counts_from_bits
from segpipe.score.surface import contour, surface_distances

Peer = Callable[[np.ndarray, np.ndarray], tuple[float, float, float]]  # hd95, assd, nsd at 2 pixels
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def lungs(rows: int, columns: int, shift: float) -> np.ndarray:
    """Uint8 0 and 1 (rows, columns)."""
    down, right = np.mgrid[:rows, :columns]
    found = np.zeros((rows, columns), bool)
    for middle in (0.3, 0.7):
        y, x = (down - rows / 2) / (0.38 * rows), (right - middle * columns - shift * columns) / (0.16 * columns)
        found |= x**2 + y**2 + 0.1 * np.sin(9 * np.arctan2(y, x) + 40 * shift) < 1
    return found.astype(np.uint8)


def segpipe(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """As the score stage does it, but for the cut."""
    found = surface_distances(contour(prediction), contour(reference))
    return found.hd95(), found.assd(), found.nsd(2)


def by_transform(transform: Callable[[np.ndarray], np.ndarray]) -> Peer:
    """A distance transform of each contour, read at the other."""

    def distances(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
        masks = (prediction, reference)
        edges = [m != cv2.erode(m, CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0) for m in masks]
        to_reference, to_prediction = transform(edges[1])[edges[0]], transform(edges[0])[edges[1]]
        both = np.concatenate([to_reference, to_prediction])
        hd95 = max(np.quantile(each, 0.95) for each in (to_reference, to_prediction))
        return float(hd95), float(both.mean()), float((both <= 2).mean())

    return distances


def monai(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """Its three functions, each of which computes the distances anew."""
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    return (
        float(compute_hausdorff_distance(*pair, include_background=True, percentile=95)),
        float(compute_average_surface_distance(*pair, include_background=True, symmetric=True)),
        float(compute_surface_dice(*pair, class_thresholds=[2.0], include_background=True)),
    )


def opencv(edges: np.ndarray) -> np.ndarray:
    """Exact up to float32."""
    return np.asarray(cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def peers() -> dict[str, Peer]:
    """Those that can be imported."""
    found: dict[str, Peer] = {
        "segpipe": segpipe,
        "OpenCV distanceTransform": by_transform(opencv),
        "scipy distance_transform_edt": by_transform(lambda edges: ndimage.distance_transform_edt(~edges)),
        "MONAI": monai,
    }
    try:
        import edt

        found["edt"] = by_transform(lambda edges: edt.edt(~edges, parallel=1))
    except ImportError:
        pass
    try:
        import surface_distance as sd

        def deepmind(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
            found = sd.compute_surface_distances(reference.astype(bool), prediction.astype(bool), (1, 1))
            assd = float(np.mean(sd.compute_average_surface_distance(found)))
            nsd = sd.compute_surface_dice_at_tolerance(found, 2)
            return sd.compute_robust_hausdorff(found, 95), assd, nsd

        found["surface-distance"] = deepmind
    except ImportError:
        pass
    try:
        from medpy.metric.binary import assd, hd95

        found["MedPy (no NSD)"] = lambda p, r: (float(hd95(p, r)), float(assd(p, r)), float("nan"))
    except ImportError:
        pass
    try:
        from skimage.metrics import hausdorff_distance

        found["scikit-image (plain HD only)"] = lambda p, r: (hausdorff_distance(p != 0, r != 0), np.nan, np.nan)
    except ImportError:
        pass
    return found


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU time."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - start))
    return float(np.median(spent))


def main() -> None:
    """A table for each size, and what the score stage spends on it with one class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print_machine("numpy", "scipy", "opencv-python-headless", "monai")
    for rows, columns in ((1024, 1024), (3000, 2500)):
        pair = lungs(rows, columns, 0.0), lungs(rows, columns, 0.01)
        left, top, width, height = cv2.boundingRect(pair[0] | pair[1])
        cut = [np.ascontiguousarray(mask[top : top + height, left : left + width]) for mask in pair]
        table, base = [], 0.0
        for name, peer in peers().items():
            spent = milliseconds(partial(peer, *cut), repeats)
            base = base or spent
            table.append([name, f"{spent:.1f}", f"{spent / base:.1f}", *(f"{value:.4f}" for value in peer(*cut))])
        header = [f"{rows} x {columns}", "CPU ms", "times segpipe", "HD95", "ASSD", "NSD at 2 px"]
        print_table(header, table)
        _stage(pair, repeats)


def _stage(pair: tuple[np.ndarray, np.ndarray], repeats: int) -> None:
    nothing = {"surface": False, "boundary_iou": False, "calibration": False, "components": False}
    rows = [["counts", f"{milliseconds(lambda: counts_from_bits(*pair, 1), repeats):.1f}"]]
    for name in ("surface", "boundary_iou", "components"):
        score = Score(**(nothing | {name: True}))
        spent = milliseconds(lambda score=score: measure(*pair, (0.2, 0.2), ["lung"], score), repeats)
        rows.append([name, f"{spent:.1f}"])
    print_table(["score stage, one class", "CPU ms"], rows)


if __name__ == "__main__":
    main()

"""From a raw file to a mask at its original size: segpipe beside a plain loop, MONAI's pipeline and nnU-Net's.

    python benchmarks/predict.py --model results/montgomery/models/fold0

Every contestant is a command that predicts a folder of PNGs, in a process of its own, with the same number of threads,
and all but nnU-Net with the same weights. It is run for a few files and for many: what the others take is the cost of
an image, and the rest is the start. Rounds go through all contestants, and ratios are taken within a round. Masks are
compared with the loop's, so that one sees that it is the same work.
"""

import argparse
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from commands import Cost, adopt_orphans
from harness import print_machine, print_table
from predict_contestants import Contestant, contestants, make_folder, nnunet_model, resident
from predict_masks import Masks, difference, read_masks
from predict_model import phantom_model

GOALS = {"loop": 1.8, "MONAI": 3.0}
HEADER = (
    *("", "wall ms per image", "CPU ms per image", "start, s", "start, CPU s", "loop's wall over its own"),
    *("MONAI's wall over its own", "share of the network's own speed", "pixels unlike the loop's"),
)
Round = dict[str, tuple[Cost, Cost]]  # of few and of many images


def one_round(found: dict[str, Contestant], folder: Path, reference: Masks) -> tuple[Round, dict[str, str]]:
    """Costs of few and of many images; and how far the masks are from ``reference``, the loop's, which come first."""
    costs, differences = {}, {}
    for name, contestant in found.items():
        print(f"now: {name}", file=sys.stderr, flush=True)
        both = []
        for images in (contestant.few, contestant.many):
            work = folder / "work"
            work.mkdir()
            both.append(contestant.cost(work, folder / f"images-{images}"))
            if images == contestant.many and contestant.compared:
                masks = read_masks(work / contestant.masks)
                reference.update(masks if not reference else {})
                differences[name] = difference(masks, reference)
            shutil.rmtree(work)
        costs[name] = (both[0], both[1])
    return costs, differences


def per_image(contestant: Contestant, few: Cost, many: Cost) -> Cost:
    """Milliseconds."""
    images = contestant.many - contestant.few
    return Cost(1000 * (many.wall - few.wall) / images, 1000 * (many.cpu - few.cpu) / images)


def start(contestant: Contestant, few: Cost, many: Cost) -> Cost:
    """Seconds."""
    each, images = per_image(contestant, few, many), contestant.few
    return Cost(few.wall - images * each.wall / 1000, few.cpu - images * each.cpu / 1000)


def table_rows(
    found: dict[str, Contestant], rounds: list[Round], speeds: dict[str, list[float]]
) -> dict[str, list[str]]:
    """A line for each contestant; ``speeds`` has each engine's own milliseconds per image, round by round."""
    costs = {name: [per_image(each, *costs[name]) for costs in rounds] for name, each in found.items()}
    table = {}
    for name, own in costs.items():
        starts = [start(found[name], *each[name]) for each in rounds]
        others = [costs[peer] for peer in GOALS]
        ratios = [median(a.wall / b.wall for a, b in zip(other, own, strict=True)) for other in others]
        speed = speeds.get(found[name].engine)
        share = median(a / b.wall for a, b in zip(speed, own, strict=True)) if speed else None
        table[name] = [
            *(f"{median(figures):.0f}" for figures in ([c.wall for c in own], [c.cpu for c in own])),
            *(f"{median(figures):.1f}" for figures in ([c.wall for c in starts], [c.cpu for c in starts])),
            *(f"{ratio:.2f}" for ratio in ratios),
            f"{share:.0%}" if share else "",
        ]
    return table


def verdict(table: dict[str, list[str]]) -> None:
    """Goals, by segpipe's fastest way."""
    for column, (peer, goal) in enumerate(GOALS.items(), start=4):
        best, name = max((float(row[column]), name) for name, row in table.items() if name.startswith("segpipe"))
        print(f"Goal: at least {goal} times as fast as {peer}: {'met' if best >= goal else 'missed'} ({best}, {name}).")


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="of one class; default: a short training on phantoms")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=110)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", help="default: torch, and openvino on a CPU where it is installed")
    parser.add_argument("--nnunet-images", type=int, default=3, help="how many nnU-Net predicts; 0: without it")
    parser.add_argument(
        "--nnunet-model", type=Path, help="FOLDER/model of `predict_nnunet.py FOLDER`; else one is made"
    )
    parser.add_argument("--only", nargs="+", default=[], help="contestants whose names contain one of these, and peers")
    parser.add_argument("--folder", help="where the archive is made (default: a temporary folder)")
    arguments = parser.parse_args()
    openvino = arguments.device == "cpu" and find_spec("openvino")
    arguments.engines = arguments.engines or ["torch", *(["openvino"] if openvino else [])]
    return arguments


def main() -> None:
    """Measure and print."""
    arguments = parse()
    adopt_orphans()
    packages = ("openvino", "nnunetv2")
    print_machine("torch", "monai", *(name for name in packages if find_spec(name)))
    with tempfile.TemporaryDirectory(prefix="segpipe-bench-", dir=arguments.folder) as temporary:
        folder = Path(temporary)
        (folder / "model").mkdir()
        model = (arguments.model or phantom_model(folder / "model", epochs=12)).resolve()
        nnunet = nnunet_model(arguments, folder / "nnunet")
        found = contestants(arguments, model, nnunet)
        for images in {count for each in found.values() for count in (each.few, each.many)}:
            make_folder(folder / f"images-{images}", images)
        print(f"{arguments.many} PNGs, {arguments.device}, {arguments.threads} threads, {arguments.rounds} rounds\n")
        speeds: dict[str, list[float]] = {engine: [] for engine in arguments.engines}
        rounds: list[Round] = []
        reference: Masks = {}
        for _ in range(arguments.rounds):
            for engine, figures in speeds.items():
                figures.append(resident(engine, model, arguments, folder))
            costs, differences = one_round(found, folder, reference)
            rounds.append(costs)
    table = table_rows(found, rounds, speeds)
    print_table(HEADER, [[name, *row, differences.get(name, "")] for name, row in table.items()])
    own = ", ".join(f"{engine} {median(figures):.1f} ms" for engine, figures in speeds.items())
    print(f"The network alone, on a resident batch, per image: {own}.")
    verdict(table)
    if not nnunet:
        print("nnunetv2 was not asked for or is not installed (benchmarks/README.md says how): row left out.")
    print(f"Load {os.getloadavg()[0]:.1f} at the end.")


if __name__ == "__main__":
    main()

"""What segpipe's defaults and two plain MONAI trainings reach at an equal budget of CPU minutes.

`segpipe` is its default config; `monai-tutorial` and `monai-tuned` stand in monai_peer.py. All train, validate and test
on the same patients, in batches of two. Scores are IoU and MIoU (with background) at the network's resolution, means
over the test images. Each model adds a line to a file, so that they can be run one by one (`--only`), and `--table`
prints what is there.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from budget import (
    Segpipe,
    append,
    iou_of,
    model_name,
    paired,
    parser,
    prepared_data,
    results,
    run,
    run_apart,
)
from budget_data import Prepared
from calibration import Contestant
from harness import print_machine, print_table


def _monai(tuned: bool) -> Callable[[Prepared, str, int], Contestant]:
    def make(data: Prepared, model: str, threads: int) -> Contestant:
        from monai_peer import MonaiPeer

        return MonaiPeer(data, model, threads, tuned)

    return make


CONTESTANTS: dict[str, Callable[[Prepared, str, int], Contestant]] = {
    "segpipe": lambda data, model, threads: Segpipe(data, model, threads, {}),
    "monai-tutorial": _monai(tuned=False),
    "monai-tuned": _monai(tuned=True),
}


def print_results(data: Prepared, arguments: argparse.Namespace) -> None:
    """The table of what was run."""
    found = results(arguments)
    ordered = [found[name] for name in CONTESTANTS if name in found]
    if not ordered:
        print(f"nothing was run with this setting ({arguments.output})")
        return
    images = len(ordered[0]["images"]["image_id"])
    print(
        f"### {arguments.data}, fold {arguments.fold}, repeat {arguments.repeat}, {arguments.size} x {arguments.size}, "
        f"{arguments.minutes:g} CPU minutes, {arguments.threads} threads, {images} test images\n"
    )
    header = ["", "epochs", "CPU minutes", "best epoch", *(f"IoU {name}" for name in data.classes), "MIoU"]
    rows = []
    for line in ordered:
        scores = [line["images"][column] for column in (*(f"iou_{name}" for name in data.classes), "miou")]
        facts = [str(line["epochs"]), f"{line['cpu_minutes']:.1f}", str(line["best"]["epoch"])]
        means = [f"{sum(values) / len(values):.4f}" for values in scores]
        rows.append([line["name"], *facts, *means, _median(line, data), paired(line, ordered[0], data.classes)])
    print_table([*header, "median IoU", f"IoU minus {ordered[0]['name']}'s, image by image"], rows)


def _median(line: dict, data: Prepared) -> str:
    values = sorted(iou_of(line, data.classes))
    return f"{(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2:.4f}"


def main() -> None:
    """Run what is asked for, print the table."""
    arguments = parser(__doc__, "equal_budget.jsonl").parse_args()
    wanted = arguments.only or list(CONTESTANTS)
    unknown = set(wanted) - set(CONTESTANTS)
    if unknown:
        raise SystemExit(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(CONTESTANTS)}")
    data = prepared_data(arguments)
    if not arguments.table and len(wanted) > 1:
        run_apart(str(Path(__file__)), wanted, arguments)
    elif not arguments.table:
        print_machine("torch", "monai")
        make = CONTESTANTS[wanted[0]]
        contestant = make(data, model_name(arguments), arguments.threads)
        append(run(wanted[0], contestant, arguments), arguments.output)
        return
    print_results(data, arguments)


if __name__ == "__main__":
    main()

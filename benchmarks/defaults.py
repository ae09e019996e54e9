"""What variants of the config reach at an equal budget of CPU minutes: the table "What was tried" of docs/training.md.

The variants stand in defaults.yaml: a name, and what it overrides in `model`, `train` and `predict`. Everything else
is as in equal_budget.py. Each variant adds a line to a file, so that they can be run one by one (`--only`), and
`--table` prints what is there.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
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
from harness import print_machine, print_table

SECTIONS = {"model", "train", "predict"}
FILE = Path(__file__).with_suffix(".yaml")


def read_variants(path: Path) -> dict[str, dict[str, Any]]:
    """The file's variants; the program ends where one overrides anything else."""
    variants = {str(name): values or {} for name, values in yaml.safe_load(path.read_text(encoding="utf-8")).items()}
    for name, values in variants.items():
        if set(values) - SECTIONS:
            raise SystemExit(f"{path}: {name} has {sorted(set(values) - SECTIONS)}; only {sorted(SECTIONS)} may differ")
    return variants


def print_results(data: Prepared, variants: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """The table of what was run, with the differences to the first variant."""
    found = results(arguments)
    ordered = [found[name] for name in variants if name in found]
    if not ordered:
        print(f"nothing was run with this setting ({arguments.output})")
        return
    rows = []
    for line in ordered:
        scores = iou_of(line, data.classes)
        facts = [str(line["epochs"]), f"{line['cpu_minutes']:.1f}", f"{line['best']['value']:.4f}"]
        rows.append([line["name"], *facts, f"{scores.mean():.4f}", f"{np.median(scores):.4f}"])
        rows[-1].append(paired(line, ordered[0], data.classes))
    images = len(ordered[0]["images"]["image_id"])
    header = ("variant", "epochs", "CPU minutes", "best val MIoU", "test IoU, mean", "median")
    print(f"{arguments.data}, fold {arguments.fold}, repeat {arguments.repeat}, {images} test images\n")
    print_table([*header, f"minus {ordered[0]['name']}, image by image"], rows)


def main() -> None:
    """Run what is asked for, print the table."""
    made = parser(__doc__, "defaults.jsonl")
    made.add_argument("--variants", type=Path, default=FILE, help="the file of the variants (default defaults.yaml)")
    arguments = made.parse_args()
    variants = read_variants(arguments.variants)
    wanted = arguments.only or list(variants)
    unknown = set(wanted) - set(variants)
    if unknown:
        raise SystemExit(f"--only: {arguments.variants} has no {', '.join(sorted(unknown))}")
    data = prepared_data(arguments)
    if not arguments.table and len(wanted) > 1:
        run_apart(str(Path(__file__)), wanted, arguments, f"--variants={arguments.variants}")
    elif not arguments.table:
        print_machine("torch", "monai")
        overrides = variants[wanted[0]]
        contestant = Segpipe(data, model_name(arguments), arguments.threads, overrides)
        line = run(wanted[0], contestant, arguments, reuse=bool(overrides.get("predict")))
        append(line, arguments.output)
        return
    print_results(data, variants, arguments)


if __name__ == "__main__":
    main()

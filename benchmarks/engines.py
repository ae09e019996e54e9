"""What each engine costs per image, on a CPU, beside PyTorch as it is.

    python benchmarks/engines.py --networks subpixel_unet --threads 1 2

Each engine has a process of its own, and they take turns, so that whatever else the machine does hits all alike; the
first round warms up. `start` is from the loaded network to the first result, which is compiled from scratch. `pays
after` is the number of images whose saved wall time is worth the start-up, compared with PyTorch. `peak MB` is the
process's own until the first result, with torch itself; compilers that it calls are not in it.
"""

import argparse
import os
import tempfile
from statistics import median

from engine_process import NETWORKS, Runner, Task
from harness import print_machine, print_table

from segpipe.config.stages import NEEDED, not_installed
from segpipe.predict.engines import ENGINES

COLUMNS = [
    *("engine", "wall ms", "CPU ms", "wall, of torch's", "CPU, of torch's"),
    *("start s", "pays after", "peak MB", "differs by"),
]


def main() -> None:
    """A table for each network, number of threads and size of batch."""
    arguments = parse()
    print_machine("torch", *(name for name in NEEDED if not not_installed(name)))
    for network in arguments.networks:
        for threads in arguments.threads:
            measure(network, threads, arguments)


def measure(network: str, threads: int, arguments: argparse.Namespace) -> None:
    """All engines on one network."""
    runners: list[Runner] = []
    for engine in arguments.engines:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
            task = (network, engine, threads, arguments.precision, arguments.size, tuple(arguments.batches))
            runners.append(Runner(Task(*task)))
    for _ in range(arguments.rounds + 1):
        for batch in arguments.batches:
            for runner in runners:
                runner.round(batch)
    for runner in runners:
        runner.close()
    for batch in arguments.batches:
        print(f"\n{network}, {arguments.size} x {arguments.size}, batches of {batch}, {threads} threads\n")
        print_table(COLUMNS, [row(runner, runners[0], batch) for runner in runners])


def row(runner: Runner, base: Runner, batch: int) -> list[str]:
    """One engine's line; ratios are taken round by round."""
    own, first = runner.rounds[batch][1:], base.rounds[batch][1:]
    wall, cpu = (median(figures[part] for figures in own) for part in (0, 1))
    ratios = [median(a[part] / b[part] for a, b in zip(own, first, strict=True)) for part in (0, 1)]
    saved = wall / ratios[0] - wall
    pays = runner.start.seconds - base.start.seconds
    after = "-" if runner is base else f"{1000 * pays / saved:.0f}" if saved > 0 else "never"
    figures = [f"{wall:.1f}", f"{cpu:.1f}", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}", f"{runner.start.seconds:.1f}"]
    return [runner.name, *figures, after, f"{runner.start.megabytes:.0f}", f"{runner.start.difference:.0e}"]


def parse() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name in ENGINES if not not_installed(name)]
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument(
        "--engines", nargs="+", choices=names, default=names, help="the first is what others are beside"
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--batches", nargs="+", type=int, default=[4, 1])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()

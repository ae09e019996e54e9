"""Work on untrusted files in other processes: a file that hangs or crashes a decoder costs its own result only.

``prepare(*arguments)`` runs once in each worker and gives the function that turns an item into a result.
Results come in the order of the items, whatever the number of workers::

    with isolated_map(prepare, (stage,), samples, Limits(cpu_seconds=120), workers=2) as results:
        for sample, result in zip(samples, results, strict=True):
            if isinstance(result, Lost):
                print(sample.image, result.reason)

``prepare`` is a function of a module (not of ``__main__``); it, its arguments, items and results are pickled. This is
no sandbox: a worker has the user's rights. What it bounds is time and memory, and what it survives is a crash.
"""

from segpipe.isolation.crew import isolated_map
from segpipe.isolation.limits import Limits, Lost

__all__ = ["Limits", "Lost", "isolated_map"]

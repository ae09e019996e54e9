"""On a CPU: each picture is computed by one thread, as many pictures at once as there are threads.

That costs less CPU time than sharing each picture or batch among the threads, threads that wait for each other lose
nothing to other jobs on the same cores, and no sum depends on the number of threads or pictures.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from segpipe.predict.engines.engine import Logits


def by_picture(one: Logits, threads: int) -> Logits:
    """``one``, which takes a single picture, (1, 1, size, size), made to take any number."""
    # PyTorch's own number of threads is per thread: those that call from elsewhere keep theirs.
    pool = ThreadPoolExecutor(threads, "predicts", initializer=torch.set_num_threads, initargs=(1,))

    def logits(inputs: Tensor) -> Tensor:
        # Copies, since a view into a batch may have other strides and so another kernel.
        return torch.cat(list(pool.map(one, [part.clone() for part in torch.split(inputs, 1)])))

    return logits

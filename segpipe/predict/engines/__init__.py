"""What computes the networks: one small interface, and an engine per file behind it (docs/engines.md)."""

from segpipe.predict.engines.choose import choose_engine
from segpipe.predict.engines.engine import Engine, Logits, Setting

__all__ = ["Engine", "Logits", "Setting", "choose_engine"]

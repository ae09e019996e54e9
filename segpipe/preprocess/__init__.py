"""From a decoded picture to the network's input and back: pure functions on numpy arrays, no torch."""

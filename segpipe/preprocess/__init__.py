"""From a decoded picture to the network's input and back, and the store of a shard."""

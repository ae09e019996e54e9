"""Masks that come as one file for a whole set (COCO, run lengths in a CSV) to a PNG for each image and class.

A set's file is converted once: reading it again for every image or shard would take memory and time that grow
with the set, and one more image in it would make every shard run again.
"""

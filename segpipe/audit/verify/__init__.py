"""`segpipe verify`: is everything that a run read and wrote still what it was?"""

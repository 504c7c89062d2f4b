"""The programs that are measured, one to a file.

Each file has one or more functions that take a :class:`benchmarks.peer.Setting`, load the weights
and return a :class:`benchmarks.peer.Peer`.
"""

"""Every goal of speed and memory on a CPU, measured: `python -m tests.benchmarks.goals [PART ...]`; default: all parts.

A ratio is of two pieces of work in one run, done in turns, the median of at least three times; memory is measured in
processes of their own. The baseline is the plain network in float32, or what is said beside it. Prints a table and
writes goals.json; `python -m tests.benchmarks.columns` makes one table of such files of several machines. Each part
takes a quarter of an hour at most. `--rehearse` runs all of it with small networks and short songs.
"""

"""Everything there is to measure on an NVIDIA GPU, in at most 8 minutes: `python -m tests.benchmarks.gpu [PART ...]`.

Needs a clone of the source code, and nothing from the network. Prints a table and writes gpu.json. `--rehearse` runs
the same code with small networks on the CPU, where no figure means anything.
"""

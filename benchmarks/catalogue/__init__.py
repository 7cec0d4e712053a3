"""What the benchmarks of auto-install share: machines, a filled catalogue, servers, a load client.

A directory, because `./run bench` takes every file beside it for a benchmark.
"""

"""What ppface computes on CPUs with kernels of its own, compiled by Numba."""

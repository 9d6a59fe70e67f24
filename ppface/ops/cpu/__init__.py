"""Kernels in Numba for what Paddle computes slowly on CPUs; without Numba its own operators do the same."""

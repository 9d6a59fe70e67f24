"""Chebyshev polynomials of a graph's Laplacian, applied to values at its vertices."""

import paddle


def chebyshev(x: paddle.Tensor, laplacian: paddle.Tensor, order: int) -> paddle.Tensor:
    """T_0 x, ..., T_{order - 1} x side by side, Defferrard et al. 2016, https://arxiv.org/abs/1606.09375, section 2.1.

        T_0 = x,   T_1 = L x,   T_k = 2 L T_{k-1} - T_{k-2}

    Args:
        x: values.
        laplacian: scaled, with eigenvalues in -1..1.
        order: number of polynomials, >= 1.

    Shape:
        x (N, V, C), laplacian (V, V) -> (N, V, order * C)
    """
    terms = [x]
    for k in range(1, order):
        moved = paddle.matmul(laplacian, terms[-1])
        terms.append(moved if k == 1 else 2 * moved - terms[-2])
    return paddle.concat(terms, axis=-1)

"""The colours of a mesh under one light."""

import paddle


def normals(vertices: paddle.Tensor, triangles: paddle.Tensor) -> paddle.Tensor:
    """The normal of every vertex: the sum of its triangles' normals, each as long as twice the triangle's area, scaled to length 1.

    Shape:
        vertices (N, V, 3), triangles (T, 3) -> (N, V, 3)
    """
    a, b, c = (paddle.index_select(vertices, triangles[:, corner], axis=1) for corner in range(3))
    faces = paddle.cross(b - a, c - a, axis=2)
    summed = paddle.zeros_like(vertices)
    for corner in range(3):
        summed = summed.index_add(triangles[:, corner], 1, faces)
    return unit(summed)


def unit(vectors: paddle.Tensor) -> paddle.Tensor:
    """(..., 3) scaled to length 1."""
    return vectors / paddle.sqrt((vectors**2).sum(axis=-1, keepdim=True) + 1e-12)


def lambert(
    colors: paddle.Tensor, normals: paddle.Tensor, direction: paddle.Tensor, light: paddle.Tensor, ambient: paddle.Tensor
) -> paddle.Tensor:
    """Lambert's cosine law: color * (ambient + light * max(0, normal . direction)).

    Args:
        colors: of the vertices.
        normals: of the vertices, length 1.
        direction: towards the light, length 1.
        light: its red, green, blue.
        ambient: red, green, blue of the light from everywhere.

    Shape:
        colors (N, V, 3), normals (N, V, 3), direction (N, 3), light (N, 3), ambient (N, 3) -> (N, V, 3)
    """
    cosine = paddle.matmul(normals, direction.unsqueeze(-1)).clip(min=0)
    return colors * (ambient.unsqueeze(1) + light.unsqueeze(1) * cosine)

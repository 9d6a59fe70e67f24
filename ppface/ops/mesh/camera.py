"""From vertices of a mesh to pixels."""

import paddle

LEAST_DEPTH = 0.1


def rotation(vector: paddle.Tensor) -> paddle.Tensor:
    """Rotations about axes by as many radians as they are long, Rodrigues' formula.

        R = I + sin(a) / a K + (1 - cos(a)) / a^2 K^2,   a = |vector|, K v = vector x v

    Shape:
        (N, 3) -> (N, 3, 3)
    """
    x, y, z = vector[:, 0], vector[:, 1], vector[:, 2]
    zero = paddle.zeros_like(x)
    cross = paddle.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape([-1, 3, 3])
    angle = paddle.sqrt((vector**2).sum(axis=1) + 1e-12).reshape([-1, 1, 1])  # not 0, where the root has no gradient
    half = paddle.sin(angle / 2) / (angle / 2)
    return paddle.eye(3, dtype=vector.dtype) + paddle.sin(angle) / angle * cross + half**2 / 2 * paddle.matmul(cross, cross)


def project(
    vertices: paddle.Tensor, place: paddle.Tensor, focal: paddle.Tensor, size: int, weak: bool
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Pixels of a square picture of `size`, and distances along the line of sight.

        x = size / 2 (1 + focal * (X - place_x) / d),   y = size / 2 (1 - focal * (Y - place_y) / d)

    Args:
        vertices: X, Y, Z, in the axes of the camera, which looks along -Z.
        place: of the camera, in the same axes.
        focal: length over half the side of the picture.
        size: of the picture.
        weak: weak perspective, where d is the distance of the origin for all vertices; else each vertex has its own, place_z - Z.

    Shape:
        vertices (N, V, 3), place (N, 3), focal (N, 1) -> pixels (N, V, 2), distances (N, V)
    """
    seen = vertices - place.unsqueeze(1)
    distance = (place[:, 2:] if weak else -seen[..., 2]).clip(min=LEAST_DEPTH)
    scaled = focal.unsqueeze(1) * seen[..., :2] / distance.unsqueeze(-1)
    flip = paddle.to_tensor([1.0, -1.0], dtype=vertices.dtype)  # rows of a picture go down
    return size / 2 * (1 + flip * scaled), -seen[..., 2]

"""MeshDecoder: shape and colours of a face mesh from a code, by graph convolutions."""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.ops.mesh.chebyshev import chebyshev
from ppface.ops.mesh.face_grid import FaceMesh, face_mesh, scaled_laplacian, unpooling

COARSEST = 5  # vertices a side of the first of three grids: 5, 9, 17
CHANNELS = (32, 32, 16)
REACH = 0.15  # how far a vertex moves at most along each axis
SLOPE = 0.1  # keeps tanh from its flat ends while the first steps of a training are large


class ChebConv(nn.Layer):
    """Graph convolution with Chebyshev polynomials, Defferrard et al. 2016, https://arxiv.org/abs/1606.09375, section 2.1.

        y = sum over k < order of theta_k T_k(L) x + bias

    Args:
        laplacian: (V, V), scaled to eigenvalues in -1..1.
        in_channels: of x.
        out_channels: of y.
        order: number of polynomials, >= 1.
        zero: start with theta = 0.

    Shape:
        (N, V, in_channels) -> (N, V, out_channels)
    """

    def __init__(self, laplacian: paddle.Tensor, in_channels: int, out_channels: int, order: int, zero: bool = False):
        super().__init__()
        self.register_buffer("laplacian", laplacian, persistable=False)
        self.order = order
        self.linear = nn.Linear(order * in_channels, out_channels)
        if zero:
            self.linear.weight.set_value(paddle.zeros_like(self.linear.weight))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.linear(chebyshev(x, self.laplacian, self.order))


class MeshDecoder(nn.Layer):
    """Decoder of a coloured mesh, after Zhou et al. 2019, https://arxiv.org/abs/1904.03525, on three grids of 25, 81 and 289
    vertices in place of a simplified scan. Starts as the mean face.

        linear -> 25 x 32, then twice: unpool, ChebConv, ReLU; then ChebConv to 6 numbers a vertex:
        vertex = mean + 0.15 tanh(0.1 first three),   color = sigmoid(logit(mean color) + last three)

    Args:
        embedding: size of the code.
        order: Chebyshev polynomials of a convolution.

    Shape:
        (N, embedding) -> vertices (N, 289, 3), colors (N, 289, 3) in 0..1
    """

    def __init__(self, embedding: int, order: int):
        super().__init__()
        sides = (COARSEST, 2 * COARSEST - 1, 4 * COARSEST - 3)
        laplacians = [paddle.to_tensor(scaled_laplacian(face_mesh(side).triangles, side**2)) for side in sides]
        self.mesh: FaceMesh = face_mesh(sides[-1])
        self.linear = nn.Linear(embedding, COARSEST**2 * CHANNELS[0])
        self.convs = nn.LayerList([ChebConv(laplacians[i + 1], CHANNELS[i], CHANNELS[i + 1], order) for i in range(2)])
        self.last = ChebConv(laplacians[-1], CHANNELS[-1], 6, order, zero=True)
        mean = paddle.to_tensor(self.mesh.colors)
        constants = {
            "unpool0": paddle.to_tensor(unpooling(sides[0])),
            "unpool1": paddle.to_tensor(unpooling(sides[1])),
            "mean": paddle.to_tensor(self.mesh.vertices),
            "color_logits": paddle.log(mean / (1 - mean)),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistable=False)

    def forward(self, code: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        x = self.linear(code).reshape([-1, COARSEST**2, CHANNELS[0]])
        for unpool, conv in zip((self.unpool0, self.unpool1), self.convs, strict=True):
            x = F.relu(conv(paddle.matmul(unpool, x)))
        x = self.last(x)
        return self.mean + REACH * paddle.tanh(SLOPE * x[..., :3]), F.sigmoid(self.color_logits + x[..., 3:])

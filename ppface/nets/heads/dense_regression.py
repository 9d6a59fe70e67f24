"""DenseRegression: the mesh branch of a face head, which training alone needs."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.vision.ops import roi_align

from ppface.core.errors import DataError
from ppface.core.registry import Supplied, register
from ppface.nets.layers.mesh_decoder import REACH, MeshDecoder
from ppface.ops.boxes import area, centres, iou
from ppface.ops.mesh.camera import project, rotation
from ppface.ops.mesh.light import lambert, normals, unit
from ppface.ops.mesh.rasterizer import rasterize

CAMERA, LIGHT = 7, 9
CAMERA_SCALE = 0.1  # one step of Adam changes all weights of a number together: without it a camera jumps by tenths of a radian
NO_FACE = np.array([0, 0, 1, 1], "float32")  # where there is no face to draw: of padding, whose box has no area, everything would be NaN
DISTANCE, FOCAL = 5.0, 4.2  # the mean face then fills .84 of the crop's height


@dataclass(frozen=True)
class Meshes:
    """Meshes in front of their cameras; see `FaceMesh` for triangles and landmarks.

    Attributes:
        pixels: (P, V, 2) in pixels of the picture's crop, whose side is `DenseRegression.size`.
        distance: (P, V) from the viewer.
        colors: (P, V, 3) lit, 0 and more.
        offsets: (P, V, 3) from the vertices of the mean face, over the largest that the decoder can give, -1..1.
    """

    pixels: paddle.Tensor
    distance: paddle.Tensor
    colors: paddle.Tensor
    offsets: paddle.Tensor


@register("branch")
class DenseRegression(nn.Layer):
    """Dense regression branch of RetinaFace, Deng et al. 2019, https://arxiv.org/abs/1905.00641, section 3.1.

    From the features of an anchor come 128 numbers of shape and colours, 7 of a camera and 9 of a light; a mesh of graph convolutions,
    drawn over the face, is compared with the picture by `MeshLoss`. It is in no export.

    What the paper took from 3-D scans was never published. Here the mean face is procedural (ops/mesh/face_grid.py), and the decoder,
    pre-trained and fixed there, learns with the rest. A face is learned by the anchor of the highest IoU, and drawn in the square around
    its box with the longer side.

    Args:
        in_channels: channels of every feature map.
        counts: anchors of a cell on every feature map.
        shared: one set of layers for all levels.
        embedding: numbers of shape and colours, >= 1.
        order: Chebyshev polynomials of a graph convolution, >= 1.
        size: side in pixels of what is drawn, >= 8.
        faces: at most so many of a picture are drawn, the largest ones, >= 1.
        min_face: shorter side in pixels that a face needs, >= 0.
        perspective: "weak": one distance for the whole face; "full": each vertex has its own.

    Shape:
        list of (N, C, H, W), image (N, 3, height, width) uint8, anchors (A, 4), and of the batch gt_boxes, gt_count,
        gt_landmarks (N, G, 5, 2), gt_has_landmarks (None: all faces have them)
        -> {"mesh_drawn": (P, 3, size, size) 0 and more, "mesh_alpha": (P, size, size) 0..1, "mesh_crop": (P, 3, size, size) 0..1,
        "mesh_inside": (P, size, size) share inside the picture, "mesh_points": (P, 5, 2) in units of the crop,
        "mesh_targets": (P, 5, 2), "mesh_shape": (P,) mean squared offset from the mean face, 0..1,
        "mesh_real": (P,) 1, or 0 for the one row where the batch has no face to draw}

    Raises:
        ValueError: an argument out of its range.
        DataError: a batch without five landmarks.
    """

    training_only = True
    takes = ("gt_boxes", "gt_count", "gt_landmarks", "gt_has_landmarks")

    def __init__(
        self,
        in_channels: Annotated[list[int], Supplied("by the head")],
        counts: Annotated[list[int], Supplied("by the head")],
        shared: Annotated[bool, Supplied("by the head")] = False,
        embedding: int = 128,
        order: int = 6,
        size: int = 32,
        faces: int = 8,
        min_face: float = 32.0,
        perspective: Literal["weak", "full"] = "weak",
    ):
        super().__init__()
        if min(embedding, order, faces) < 1 or size < 8 or min_face < 0:
            raise ValueError(
                "DenseRegression: expected embedding, order and faces of at least 1, size of at least 8 and min_face of at least 0, "
                f"received {embedding=}, {order=}, {faces=}, {size=}, {min_face=}"
            )
        self.embedding, self.size, self.faces, self.min_face, self.weak = embedding, size, faces, min_face, perspective == "weak"
        self.counts = list(counts)
        self.width = embedding + CAMERA + LIGHT
        levels = list(zip(in_channels, counts, strict=True))
        self.codes = nn.LayerList([nn.Linear(c, k * self.width) for c, k in (levels[:1] if shared else levels)])
        for linear, (c, k) in zip(self.codes, levels, strict=False):
            weight = linear.weight.reshape([c, k, self.width]).numpy()
            weight[:, :, embedding:] = 0  # so that an untrained branch draws the mean face from the front
            linear.weight.set_value(weight.reshape([c, -1]))
        self.decoder = MeshDecoder(embedding, order)
        self.register_buffer("triangles", paddle.to_tensor(self.decoder.mesh.triangles), persistable=False)

    def forward(
        self, features: list[paddle.Tensor], image: paddle.Tensor, anchors: paddle.Tensor, *labels: Any
    ) -> dict[str, paddle.Tensor]:
        boxes, count, landmarks, has_landmarks = labels
        if boxes is None or landmarks is None or landmarks.shape[2] != 5:
            received = "none" if landmarks is None else f"{landmarks.shape[2]}{' without faces' * (boxes is None)}"
            raise DataError(
                f"DenseRegression: expected faces with 5 landmarks in gt_landmarks, received {received}: choose a data set that has them, "
                "or train without model.head.dense"
            )
        known = np.ones(boxes.shape[:2], bool) if has_landmarks is None else has_landmarks.numpy()
        row, face, real = self._chosen(boxes.numpy(), count.numpy(), known)
        chosen = np.where(real[:, None] > 0, boxes.numpy()[row, face], NO_FACE)
        with paddle.amp.auto_cast(enable=False):  # edges of triangles need float32
            meshes = self.meshes(features, image.shape[2:], anchors, row, chosen)
            drawn, alpha = rasterize(meshes.pixels, meshes.distance, meshes.colors, self.triangles, self.size)
        corner, side = crop(chosen)
        crops, inside = self._crops(image, row, np.concatenate([corner, corner + side], axis=1))
        targets = (landmarks.numpy()[row, face] - corner[:, None]) / side[:, None]
        points = paddle.index_select(meshes.pixels, paddle.to_tensor(self.decoder.mesh.landmarks), axis=1) / self.size
        return {
            "mesh_drawn": drawn,
            "mesh_alpha": alpha,
            "mesh_crop": crops,
            "mesh_inside": inside,
            "mesh_points": points,
            "mesh_targets": paddle.to_tensor(targets.astype("float32")),
            "mesh_shape": (meshes.offsets**2).mean(axis=[1, 2]),
            "mesh_real": paddle.to_tensor(real),
        }

    def meshes(
        self, features: list[paddle.Tensor], size: tuple[int, int], anchors: paddle.Tensor, image: np.ndarray, boxes: np.ndarray
    ) -> Meshes:
        """The mesh of each box, by the anchor that overlaps it most.

        Args:
            features: feature maps, as they enter the head.
            size: (height, width) of the pictures.
            anchors: relative to `size`.
            image: (P,) the row of `features` of every box.
            boxes: (P, 4) pixels.
        """
        code = self._coded(features, image, nearest_anchors(anchors.numpy(), size, boxes))
        vertices, colors = self.decoder(code[:, : self.embedding])
        camera, light = CAMERA_SCALE * code[:, self.embedding : -LIGHT], code[:, -LIGHT:]
        ahead = paddle.to_tensor([[0.0, 0.0, DISTANCE]])
        turned = paddle.matmul(vertices, rotation(camera[:, 3:6]).transpose([0, 2, 1]))
        pixels, distance = project(turned, ahead + camera[:, :3], FOCAL + camera[:, 6:], self.size, self.weak)
        direction = unit(light[:, :3] + ahead / DISTANCE)
        shaded = lambert(colors, normals(turned, self.triangles), direction, F.sigmoid(light[:, 3:6]), F.sigmoid(light[:, 6:]))
        return Meshes(pixels, distance, shaded, (vertices - self.decoder.mean) / REACH)

    def _chosen(self, boxes: np.ndarray, counts: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture and row of every face that is drawn, and 1 for each; without any, one row with 0, so that gradients always exist."""
        large = (boxes[..., 2:] - boxes[..., :2]).min(axis=-1) >= max(self.min_face, 1e-3)
        fit = large & labelled & (np.arange(boxes.shape[1]) < counts[:, None])
        order = np.argsort(np.where(fit, -area(boxes), 1.0), axis=1, kind="stable")[:, : self.faces]
        row, place = np.nonzero(np.take_along_axis(fit, order, axis=1))
        if not len(row):
            return np.zeros(1, "int64"), np.zeros(1, "int64"), np.zeros(1, "float32")
        return row, order[row, place], np.ones(len(row), "float32")

    def _coded(self, features: list[paddle.Tensor], image: np.ndarray, anchor: np.ndarray) -> paddle.Tensor:
        """(P,) pictures and anchors -> (P, width) what the anchors' layers make of the features there."""
        code, first = paddle.zeros([len(anchor), self.width]), 0
        for i, feature in enumerate(features):
            channels, height, width = feature.shape[1:]
            count = self.counts[i]
            last = first + height * width * count
            here = (anchor >= first) & (anchor < last)
            cell, slot = np.divmod(np.where(here, anchor - first, 0), count)
            where = paddle.to_tensor(image * height * width + cell)
            at = paddle.gather(feature.astype("float32").transpose([0, 2, 3, 1]).reshape([-1, channels]), where)
            mask = (np.arange(count) == slot[:, None]) & here[:, None]  # every level computes all rows, so that all layers have gradients
            rows = self.codes[i % len(self.codes)](at).reshape([-1, count, self.width])
            code = code + (rows * paddle.to_tensor(mask[..., None].astype("float32"))).sum(axis=1)
            first = last
        return code

    def _crops(self, image: paddle.Tensor, row: np.ndarray, squares: np.ndarray) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The squares of the pictures, averaged over their pixels, 0..1, and how much of each pixel is inside the picture."""
        counts = paddle.to_tensor(np.bincount(row, minlength=image.shape[0]).astype("int32"))
        whole = paddle.concat([image.astype("float32") / 255, paddle.ones([image.shape[0], 1, *image.shape[2:]])], axis=1)
        crops = roi_align(whole, paddle.to_tensor(squares.astype("float32")), counts, self.size)
        return crops[:, :3], crops[:, 3]


def crop(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 4) boxes -> (P, 2) upper left corners and (P, 1) sides of the squares around them with the longer side."""
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    return centres(boxes) - side / 2, side


def nearest_anchors(anchors: np.ndarray, size: tuple[int, int], boxes: np.ndarray) -> np.ndarray:
    """The anchor of the highest IoU for each box.

    Shape:
        anchors (A, 4) centre x, y, width, height relative to `size` (height, width), boxes (P, 4) pixels -> (P,) int64
    """
    scaled = anchors * np.array([size[1], size[0]] * 2, "float32")
    corners = np.concatenate([scaled[:, :2] - scaled[:, 2:] / 2, scaled[:, :2] + scaled[:, 2:] / 2], axis=1)
    return np.array([iou(box[None], corners)[0].argmax() for box in boxes], dtype="int64")

"""Meshes of a detector's dense regression branch, drawn over its faces: what training compares with the picture."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import paddle

from ppface.core.errors import WeightsError
from ppface.nets.heads.dense_regression import crop

LINE = (255, 255, 255)  # RGB
BITS = 4  # binary places of the coordinates that OpenCV gets


@dataclass(frozen=True)
class DrawnMesh:
    """The mesh of one face in front of its picture.

    Args:
        vertices: (V, 2) x, y in pixels of the picture.
        distance: (V,) from the viewer; only their order has a meaning.
        colors: (V, 3) red, green, blue, 0..1, in the light of the picture.
        triangles: (T, 3) rows of `vertices`; those that are seen from behind go round the other way.
    """

    vertices: np.ndarray
    distance: np.ndarray
    colors: np.ndarray
    triangles: np.ndarray

    def visible(self) -> np.ndarray:
        """(T, 3) triangles that are seen from the front, the farthest first."""
        a, b, c = (self.vertices[self.triangles[:, k]] for k in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        front = self.triangles[area < 0]  # counterclockwise, with rows that go down
        return front[np.argsort(-self.distance[front].mean(axis=1), kind="stable")]


def find_meshes(model: Any, image: np.ndarray, boxes: np.ndarray) -> list[DrawnMesh]:
    """The meshes of faces whose boxes are known.

    Args:
        model: with a dense regression branch, in evaluation mode.
        image: (H, W, 3) uint8 RGB.
        boxes: (P, 4) pixels of the picture.

    Raises:
        WeightsError: a model without this branch, or with one that was not trained.
    """
    branch = getattr(model.head, "dense", None)
    if branch is None:
        raise WeightsError("expected a detector trained with model.head.dense, received one without; an export never has this branch")
    if not branch.decoder.last.linear.weight.numpy().any():
        raise WeightsError("expected weights of a detector trained with model.head.dense, received some without: its meshes are untrained")
    if not len(boxes):
        return []
    place = model.input.test.place(*image.shape[:2])
    pixels = paddle.to_tensor(place.apply(image).transpose(2, 0, 1)[None].copy())
    tested = place.rows_there(np.asarray(boxes, np.float64))
    with paddle.no_grad():
        features = model.features({"image": pixels})
        anchors = model.head(features, pixels)["anchors"]
        found = branch.meshes(features, place.size, anchors, np.zeros(len(boxes), "int64"), tested)
    corner, side = crop(tested)
    vertices = place.back(corner[:, None] + found.pixels.numpy() / branch.size * side[:, None])
    distance, colors = found.distance.numpy(), found.colors.numpy().clip(0, 1)
    return [DrawnMesh(vertices[i], distance[i], colors[i], branch.triangles.numpy()) for i in range(len(boxes))]


def draw_meshes(image: np.ndarray, meshes: list[DrawnMesh]) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, 3 W, 3): the picture, the meshes' surfaces in front of it, and their edges."""
    surfaces, edges = np.ascontiguousarray(image).copy(), np.ascontiguousarray(image).copy()
    for mesh in meshes:
        points = np.rint((mesh.vertices - 0.5) * 2**BITS).astype("int32")  # OpenCV counts from the centre of the first pixel
        for triangle in mesh.visible():
            color = (255 * mesh.colors[triangle].mean(axis=0)).tolist()
            cv2.fillConvexPoly(surfaces, points[triangle], color, cv2.LINE_8, BITS)
            cv2.polylines(edges, [points[triangle]], True, LINE, 1, cv2.LINE_AA, BITS)
    return np.concatenate([image, surfaces, edges], axis=1)

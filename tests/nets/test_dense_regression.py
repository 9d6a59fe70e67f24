"""The dense regression branch: what it draws, what it learns, what data it needs, and that exports do not contain it."""

import re
from functools import partial

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name

from ppface.core.errors import DataError
from ppface.data import SyntheticFaces
from ppface.data.batch import collate
from ppface.engine import export
from ppface.losses import MeshLoss
from ppface.nets.heads import DenseRegression, FaceHead
from ppface.nets.heads.dense_regression import crop, nearest_anchors
from ppface.nets.model import FaceModel, Input
from ppface.ops.mesh.camera import project, rotation
from ppface.ops.mesh.face_grid import face_mesh
from ppface.post import NMS, FacePost

SIDE = 64


class Levels(paddle.nn.Layer):
    """Three feature maps, of strides 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        self.out_channels = [8, 8, 8]
        self.convs = paddle.nn.LayerList([paddle.nn.Conv2D(3, 8, 8, 8), paddle.nn.Conv2D(8, 8, 2, 2), paddle.nn.Conv2D(8, 8, 2, 2)])

    def forward(self, x):
        features = []
        for conv in self.convs:
            x = paddle.nn.functional.relu(conv(x))
            features.append(x)
        return features


def build(dense=True, seed=0, shared=False, **options):
    """A small detector with three levels; with the same seed its weights are those of the model without a branch."""
    paddle.seed(seed)
    branch = partial(DenseRegression, **{"embedding": 8, "order": 3, "size": 8, "faces": 2, "min_face": 12.0} | options) if dense else None
    sizes = [[8, 16], [24, 32], [48, 64]] if shared else [[8], [16, 24], [32, 48, 64]]
    head = partial(FaceHead, min_sizes=sizes, steps=[8, 16, 32], landmarks=5, kernel_size=1, shared=shared, dense=branch)
    post = FacePost(NMS(0.4), score_threshold=0.4, pre_top=20, keep_top=5)
    with unique_name.guard():
        return FaceModel(Input((SIDE, SIDE), [127.5] * 3, [127.5] * 3), Levels(), head, post=post)


@pytest.fixture(scope="module")
def arrays():
    """Three pictures: two faces, one face, none."""
    data = SyntheticFaces(40, (SIDE, SIDE), 0, (0, 3), (0.4, 0.7), difficulty=0.0)
    chosen: dict[int, dict] = {}
    for i in range(len(data)):
        sample = data[i]
        usable = ((sample["gt_boxes"][:, 2:] - sample["gt_boxes"][:, :2]).min(axis=1) >= 12) & sample["gt_has_landmarks"]
        if usable.all():
            chosen.setdefault(len(usable), sample)
    samples = [chosen[count] for count in (2, 1, 0)]
    shown = [{"image": sample["picture"].decode().transpose(2, 0, 1)} for sample in samples]
    return collate(
        [image | {key: sample[key] for key in sample if key.startswith("gt_")} for image, sample in zip(shown, samples, strict=True)]
    )


def tensors(arrays, *left_out):
    return {key: paddle.to_tensor(value) for key, value in arrays.items() if key not in left_out}


def test_the_decoder_has_as_many_parameters_as_by_hand():
    branch = DenseRegression(in_channels=[16], counts=[2])
    found = {name: sum(int(p.size) for p in part.parameters()) for name, part in branch.named_children()}
    convolutions = [(6 * 32 + 1) * 32, (6 * 32 + 1) * 16, (6 * 16 + 1) * 6]
    assert found == {"codes": 17 * 2 * (128 + 7 + 9), "decoder": 129 * 25 * 32 + sum(convolutions)}
    assert found["decoder"] == 113_046


def test_an_untrained_branch_draws_the_mean_face_over_every_face(arrays):
    model = build()
    outputs = model(tensors(arrays))
    assert outputs["mesh_drawn"].shape == outputs["mesh_crop"].shape == [3, 3, 8, 8]
    assert outputs["mesh_alpha"].shape == outputs["mesh_inside"].shape == [3, 8, 8]
    assert outputs["mesh_real"].numpy().tolist() == [1, 1, 1]
    mesh = face_mesh(17)
    x, y = 4 * (1 + 4.2 * mesh.vertices[:, 0] / 5), 4 * (1 - 4.2 * mesh.vertices[:, 1] / 5)
    expected = np.stack([x, y], axis=1)[mesh.landmarks] / 8
    np.testing.assert_allclose(outputs["mesh_points"].numpy(), [expected] * 3, atol=1e-5)
    assert 0.5 < float(outputs["mesh_alpha"].mean()) < 0.8  # of the square around the face


def test_crops_and_targets_are_those_of_the_largest_faces(arrays):
    outputs = build(faces=1)(tensors(arrays))
    expected = []
    for image in (0, 1):
        boxes = arrays["gt_boxes"][image, : arrays["gt_count"][image]]
        row = int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())
        corner, side = crop(boxes[row : row + 1])
        expected.append((arrays["gt_landmarks"][image, row] - corner) / side)
        x1, y1 = np.ceil(corner[0]).astype(int)
        x2, y2 = np.floor(corner[0] + side[0]).astype(int)
        pixels = arrays["image"][image, :, max(0, y1) : y2, max(0, x1) : x2]
        crops, inside = outputs["mesh_crop"].numpy()[image], outputs["mesh_inside"].numpy()[image]
        np.testing.assert_allclose((crops.sum(axis=(1, 2)) / inside.sum()), pixels.mean(axis=(1, 2)) / 255, atol=0.02)
    np.testing.assert_allclose(outputs["mesh_targets"].numpy(), expected, atol=1e-5)


def test_faces_of_data_that_do_not_say_which_are_labelled_all_have_landmarks(arrays):
    labelled = arrays | {"gt_has_landmarks": np.ones_like(arrays["gt_has_landmarks"])}
    model = build()
    want, got = model(tensors(labelled)), model(tensors(labelled, "gt_has_landmarks"))
    assert len(got["mesh_real"]) == 3
    np.testing.assert_array_equal(got["mesh_targets"].numpy(), want["mesh_targets"].numpy())


def test_a_face_is_learned_by_the_anchor_of_the_highest_overlap(rng):
    anchors = np.concatenate([rng.uniform(size=(40, 2)), rng.uniform(0.05, 0.6, (40, 2))], axis=1).astype("float32")
    boxes = np.array([[5, 10, 40, 60], [60, 20, 90, 50]], "float32")
    found = nearest_anchors(anchors, (80, 100), boxes)
    for box, index in zip(boxes, found, strict=True):
        overlaps = []
        for x, y, width, height in anchors * [100, 80, 100, 80]:
            common = max(0, min(box[2], x + width / 2) - max(box[0], x - width / 2))
            common *= max(0, min(box[3], y + height / 2) - max(box[1], y - height / 2))
            overlaps.append(common / ((box[2] - box[0]) * (box[3] - box[1]) + width * height - common))
        assert index == int(np.argmax(overlaps))


@pytest.mark.parametrize("shared", [False, True])
def test_codes_come_from_the_cell_and_the_place_of_the_anchor(rng, shared):
    head = build(shared=shared).head
    branch, sides = head.dense, (8, 4, 2)
    features = [rng.normal(size=(2, 8, side, side)).astype("float32") for side in sides]
    rows = []  # (level, row, column, slot) in the order of the anchors
    for level, side in enumerate(sides):
        rows += [(level, i, j, slot) for i in range(side) for j in range(side) for slot in range(branch.counts[level])]
    image, anchor = np.array([0, 1, 1, 0]), np.array([3, len(rows) - 1, len(rows) - 2, 8 * 8 * branch.counts[0] + 5])
    got = branch._coded([paddle.to_tensor(x) for x in features], image, anchor).numpy()
    for n in range(4):
        level, i, j, slot = rows[anchor[n]]
        linear = branch.codes[0 if shared else level]
        whole = features[level][image[n], :, i, j] @ linear.weight.numpy() + linear.bias.numpy()
        np.testing.assert_allclose(got[n], whole[slot * branch.width : (slot + 1) * branch.width], atol=1e-5)


@pytest.mark.parametrize("emptied", [("gt_has_landmarks",), ("gt_boxes", "gt_count", "gt_landmarks", "gt_has_landmarks")])
def test_without_a_face_to_draw_every_parameter_still_has_a_gradient(arrays, emptied):
    """Faces without landmarks, and pictures without faces, whose rows are padding without an area."""
    batch = arrays | {key: np.zeros_like(arrays[key]) for key in emptied}
    model = build()
    outputs = model(tensors(batch))
    assert outputs["mesh_real"].numpy().tolist() == [0]
    losses = MeshLoss()(outputs, {})
    assert [float(loss) for loss in losses.values()] == [0, 0, 0]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None and not parameter.grad.numpy().any() for parameter in model.head.dense.parameters())


def test_the_loss_of_a_batch_falls_to_a_third(arrays):
    model = build()
    loss, batch = MeshLoss(weight=1.0, landmark_weight=1.0), tensors(arrays)
    optimizer = paddle.optimizer.Adam(0.01, parameters=model.parameters())
    values = []
    for _ in range(30):
        total = sum(loss(model(batch), batch).values())
        total.backward()
        optimizer.step()
        optimizer.clear_grad()
        values.append(float(total))
    assert min(values[-5:]) < values[0] / 3


def test_a_camera_is_found_from_its_landmarks():
    mesh = face_mesh(5)
    vertices = paddle.to_tensor(mesh.vertices[None])

    def pixels(camera):
        turned = paddle.matmul(vertices, rotation(camera[:, :3]).transpose([0, 2, 1]))
        return project(turned, paddle.to_tensor([[0.0, 0, 5]]) + camera[:, 3:], paddle.to_tensor([[4.2]]), 32, False)[0]

    target = pixels(paddle.to_tensor([[0.2, -0.35, 0.1, 0.1, -0.05, 0.2]]))
    camera = paddle.zeros([1, 6])
    camera.stop_gradient = False
    optimizer = paddle.optimizer.Adam(0.02, parameters=[camera])
    for _ in range(150):
        ((pixels(camera) - target) ** 2).mean().backward()
        optimizer.step()
        optimizer.clear_grad()
    assert np.degrees(np.abs(camera.numpy()[0, :3] - [0.2, -0.35, 0.1])).max() < 2


def test_exports_and_predictions_are_those_of_the_model_without_the_branch(tmp_path, arrays):
    plain, dense = build(dense=False), build()
    state = plain.state_dict()
    for name, value in dense.state_dict().items():
        if name in state:
            np.testing.assert_array_equal(value.numpy(), state[name].numpy())
    assert {name.split(".")[1] for name in dense.state_dict().keys() - state.keys()} == {"dense"}
    image = paddle.to_tensor(arrays["image"])
    for model, name in ((plain, "plain"), (dense, "dense")):
        model.eval()
        (tmp_path / name).mkdir()
        with unique_name.guard():
            export.write(model, tmp_path / name, {})
    outputs = [model.infer(image) for model in (plain, dense)]
    assert outputs[0].keys() == outputs[1].keys() and len(outputs[0]["scores"])
    assert all((outputs[0][name].numpy() == outputs[1][name].numpy()).all() for name in outputs[0])
    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("plain", "dense")]
    assert files[0]["model.pdiparams"] == files[1]["model.pdiparams"]
    numbered = re.compile(rb"_\d+(?=/)|(?<=eager_tmp)_\d+")  # Paddle counts layers and temporaries up within a process
    graphs = [numbered.sub(b"", found["model.json"]) for found in files]
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize(
    ("left_out", "received"), [(("gt_landmarks", "gt_has_landmarks"), "none"), (("gt_boxes", "gt_count"), "5 without faces"), ((), 6)]
)
def test_data_without_landmarks_are_refused(arrays, left_out, received):
    batch = tensors(arrays, *left_out)
    if received == 6:
        batch["gt_landmarks"] = paddle.zeros([3, 2, 6, 2])
    with pytest.raises(DataError) as error:
        build()(batch)
    assert str(error.value) == (
        f"DenseRegression: expected faces with 5 landmarks in gt_landmarks, received {received}: choose a data set that has them, "
        "or train without model.head.dense"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: DenseRegression([8], [1], size=4),
            "DenseRegression: expected embedding, order and faces of at least 1, size of at least 8 and min_face of at least 0, "
            "received embedding=128, order=6, faces=8, size=4, min_face=32.0",
        ),
        (
            lambda: FaceHead([8], [[16]], [8], landmarks=6, dense=DenseRegression),
            "FaceHead: expected landmarks=5 with dense, received landmarks=6",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message

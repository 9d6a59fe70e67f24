"""Network and post-processing as one static graph, run by paddle.inference with oneDNN, give what they give in dynamic mode."""

from functools import partial

import numpy as np
import paddle
import pytest
from paddle import inference, nn

from ppface.engine import export
from ppface.nets.backbones import BlazeNet, MobileNetV1
from ppface.nets.heads import FaceHead
from ppface.nets.model import FaceModel, Input
from ppface.nets.necks import FPN, BlazeNeck
from ppface.post import NMS, Blend, FacePost

SINGLE = [[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]]
DOUBLE = [[48, 24, 96, 2], [96, 24, 96], [96, 24, 96], [96, 24, 96, 2], [96, 24, 96], [96, 24, 96]]


def settle(model, rng):
    """Batch statistics of random pictures, so that random weights give numbers of a usual size."""
    norms = [layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        norm._momentum = 0.0
    with paddle.no_grad():
        model({"image": paddle.to_tensor(rng.integers(0, 256, (2, 3, 160, 160), dtype=np.uint8))})
    for scores in model.head.scores:
        scores.weight.set_value(scores.weight * 0.1)  # scores that differ, far from 0 and 1


def predictor(folder):
    config = inference.Config(str(folder / "model.json"), str(folder / "model.pdiparams"))
    config.disable_gpu()
    config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(1)
    config.disable_glog_info()
    made = inference.create_predictor(config)

    def run(image):
        handle = made.get_input_handle(made.get_input_names()[0])
        handle.reshape(image.shape)
        handle.copy_from_cpu(image)
        made.run()
        return [made.get_output_handle(name).copy_to_cpu() for name in made.get_output_names()]

    return run


@pytest.mark.parametrize(("neck", "landmarks", "overlap"), [(None, 0, NMS), ("fpn_ssh", 0, Blend), ("fpn_ssh", 5, NMS), (None, 6, Blend)])
def test_a_saved_graph_gives_the_faces_of_dynamic_mode(rng, tmp_path, neck, landmarks, overlap):
    paddle.seed(0)
    model = FaceModel(
        Input((640, 640), [123, 117, 104], [127.502231] * 3),
        BlazeNet(SINGLE, DOUBLE, act="hard_swish" if landmarks else "relu"),
        partial(FaceHead, min_sizes=[[16, 24], [32, 48, 64, 80, 96, 128]], steps=[8, 16], landmarks=landmarks),
        partial(BlazeNeck, neck_type=neck) if neck else None,
        FacePost(overlap(0.3), score_threshold=0.3, pre_top=100),
    )
    settle(model, rng)
    names, run = export.trace(model, tmp_path), predictor(tmp_path)
    assert names == ["boxes", "count", *(["landmarks"] if landmarks else []), "scores"]
    seen = 0
    for shape in [(1, 3, 160, 160), (2, 3, 321, 517), (3, 3, 24, 40)]:
        picture = rng.integers(0, 256, shape, dtype=np.uint8)
        with paddle.no_grad():
            want = model.infer(paddle.to_tensor(picture))
        got = dict(zip(names, run(picture), strict=True))
        assert got["count"].tolist() == want["count"].tolist() and got["count"].dtype == np.int32
        seen += got["count"].sum()
        for key, value in want.items():
            np.testing.assert_allclose(got[key], value.numpy(), rtol=1e-3, atol=1e-2, err_msg=f"{key} at {shape}")
    assert seen > 20
    blank = dict(zip(names, run(np.zeros((1, 3, 1, 1), np.uint8)), strict=True))  # whatever is found, it is laid out alike
    assert blank["boxes"].shape == (blank["count"].sum(), 4)


@pytest.mark.parametrize("threshold", [0.02, 1.0])
def test_a_saved_retinaface_gives_the_faces_of_dynamic_mode_also_where_there_is_none(rng, tmp_path, threshold):
    """Its context modules and, without a face, the reshaping of no landmarks have crashed paddle.inference with oneDNN."""
    paddle.seed(5)
    head = partial(FaceHead, min_sizes=[[16, 32], [64, 128], [256, 512]], steps=[8, 16, 32], landmarks=5, kernel_size=1)
    size = Input((160, 160), [123, 117, 104], [1, 1, 1], order="BGR")
    post = FacePost(NMS(0.4), threshold)
    model = FaceModel(size, MobileNetV1(0.25, "leaky_0.1"), partial(head, background_first=True), FPN, post)
    settle(model, rng)
    names, run = export.trace(model, tmp_path), predictor(tmp_path)
    for shape in ((1, 3, 160, 160), (2, 3, 97, 131)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        with paddle.no_grad():
            want = {name: output.numpy() for name, output in model.infer(paddle.to_tensor(image)).items()}
        got = dict(zip(names, run(image), strict=True))
        assert export.compare(want, got, 1e-3) <= 1e-3 and got["landmarks"].shape[1:] == (5, 2)
        assert (len(want["scores"]) == 0) == (threshold == 1.0)

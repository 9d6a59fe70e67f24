"""ppface: config-driven training of face detection, recognition and landmarks on PaddlePaddle.

    config = ppface.load_config("configs/detection/blazeface_1000e.yml", ["model.backbone.act=hard_swish"])
    model = ppface.build_model(config)
    report = ppface.load_weights(model, "blazeface_1000e.pdparams")
    model.eval()                            # a model is built for training
    outputs = model({"image": pixels})      # (N, 3, H, W) RGB 0..255, any size -> "boxes", "logits", "anchors", "size" (see FaceHead)
    found = model.infer(pixels)             # "boxes" in pixels, "scores", "count" of each image (see FacePost)
    faces = ppface.predict.load("output/blazeface/20260101-120000")("picture.jpg")

Importing this package imports no paddle: what needs it is loaded on first use.
"""

import importlib
from typing import Any

from ppface.core.run.cpu import avoid_amx, keep_freed_memory, prefer_fast_mkl

__version__ = "0.1.0"

_LAZY = {
    "load_config": "ppface.core.config.spec",
    "build_model": "ppface.core.config.spec",
    "load_weights": "ppface.nets.weights",
    "predict": "ppface.predict",
    "evaluators": "ppface.evaluators",
    "FacePipeline": "ppface.predict",
    "Gallery": "ppface.gallery",
}
__all__ = ["FacePipeline", "Gallery", "__version__", "build_model", "evaluators", "load_config", "load_weights", "predict"]

prefer_fast_mkl()
avoid_amx()
keep_freed_memory()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'ppface' has no attribute '{name}'")
    module = importlib.import_module(_LAZY[name])
    return getattr(module, name, module)

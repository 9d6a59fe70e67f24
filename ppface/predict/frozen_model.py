"""FrozenModel: a trained model inside a loss or a head of another one, such as a teacher."""

from pathlib import Path

import paddle
from paddle import nn

from ppface.core.config.run_config import EXPORT
from ppface.core.config.spec import Spec
from ppface.core.errors import UserError
from ppface.core.files import zoo
from ppface.core.files.released import located
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.predict.exported import Exported
from ppface.predict.live_model import open_model

KINDS = {"source": "a run, a checkpoint, an export or a config", "weights": "a weight file, a checkpoint or a run"}


def _check_exists(key: str, path: str | None) -> None:
    if path is not None and not (zoo.find(path) or (path and located(path).exists())):
        raise ValueError(f"FrozenModel: expected {key} to be {KINDS[key]}, but {path or repr(path)} does not exist")


@register("network")
class FrozenModel(nn.Layer):
    """A trained model that is only evaluated: no gradient, fixed batch norm statistics, none of its weights in a checkpoint.

    Checkpoints record `loaded_from`, and a run resumes only with the same weights. Source: teachers of knowledge distillation, Hinton et
    al. 2015, https://arxiv.org/abs/1503.02531, section 2.

    Args:
        source: the folder of a run, of a checkpoint or of an export, a config file, or `zoo:NAME`.
        weights: a weight file, for a config, or instead of the run's best checkpoint.
        names: a file of rules from the weight file's names to the model's, see `ppface.load_weights`.
        overrides: changes to the config as `key.key=value`, such as "model.input.order=BGR".

    Attributes:
        loaded_from: {"source": path, "sha256": digest of config and weights}.

    Shape:
        image (N, 3, H, W) RGB 0..255 -> what the model's head returns without labels, such as {"embedding": (N, D), "norm": (N, 1)}

    Raises:
        ValueError: `source` does not exist, or it is an export, and more than that is given.
        WeightsError: nothing to load there, or weights that do not fit.
        UserError: when called, pictures of a size that the model does not take.
    """

    def __init__(self, source: str, weights: str | None = None, names: str | None = None, overrides: list[str] | None = None):
        super().__init__()
        _check_exists("source", source)
        if (Path(source) / EXPORT).is_file():
            if weights or names or overrides:
                raise ValueError(f"FrozenModel: expected no weights, names or overrides for an export, which has its own: {source}")
            exported = Exported(source, threads=1, gpu=paddle.is_compiled_with_cuda() and "gpu" in paddle.device.get_device())
            self.loaded_from, self._model = {"source": str(source), "sha256": exported.identity()}, (exported,)
            self._size = exported.about["input"]["size"]
            return
        opened = open_model(source, weights, overrides or [], names)
        self.loaded_from = {"source": str(weights or source), "sha256": opened.identity()}
        for parameter in opened.model.parameters():
            parameter.stop_gradient = True
        self._size = [None, None] if opened.model.any_size else list(opened.model.input.size)
        self._model = (opened.model,)  # in a tuple Paddle does not see it: train(), state_dict() and DataParallel leave it alone

    @staticmethod
    def check_config(own: Spec, config: Spec) -> None:
        """Raises ValueError for files that do not exist; those in the output folder of the config may yet be made, by an earlier run."""
        for key in ("source", "weights"):
            try:
                _check_exists(key, own[key])
            except ValueError as error:
                if Path(config["output"]).resolve() not in Path(own[key]).resolve().parents:
                    raise
                log.warning("%s: %s.%s: %s: make it before this run", own.origin, own.path, key, error)

    def forward(self, image: paddle.Tensor) -> dict[str, paddle.Tensor]:
        model, received = self._model[0], list(image.shape[2:])
        if any(side not in (None, other) for side, other in zip(self._size, received, strict=True)):
            raise UserError(
                f"FrozenModel: {self.loaded_from['source']}: expected pictures of [height, width] = {self._size}, the only size that this "
                f"model takes, received {received} of the model in training: choose a source for that size, or train with {self._size}"
            )
        if isinstance(model, Exported):
            return {name: paddle.to_tensor(array) for name, array in model({"image": image.numpy()}).items()}
        with paddle.no_grad():
            return model({"image": image})

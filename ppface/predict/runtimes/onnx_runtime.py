"""An exported model as `predict(batch) -> named arrays`, run by ONNX Runtime."""

from pathlib import Path

import numpy as np

from ppface.core.run.cpu import cores
from ppface.predict.runtimes import FILES, UnusableRuntimeError
from ppface.predict.runtimes.description import DescribedModel


class OnnxRuntime(DescribedModel):
    """The model.onnx in a folder that ppface export wrote.

    Args:
        folder: holds inference.yml and model.onnx.
        threads: CPU threads; None: one per core.

    Raises:
        UnusableRuntimeError: ONNX Runtime cannot be imported or refuses the file.
        WeightsError: see DescribedModel.
    """

    def __init__(self, folder: str | Path, threads: int | None = None):
        super().__init__(folder, FILES["onnxruntime"])
        try:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads or cores()
            options.log_severity_level = 3  # errors alone
            self._session = onnxruntime.InferenceSession(self.paths[0], options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no class of their own
            raise UnusableRuntimeError(self.files[0], "ONNX Runtime", "onnxruntime", error) from error

    def _run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        names = self.about["outputs"]
        return dict(zip(names, self._session.run(names, {"image": pixels}), strict=True))

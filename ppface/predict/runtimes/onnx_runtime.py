"""An exported model as `predict(batch) -> named arrays`, run by ONNX Runtime."""

from pathlib import Path

import numpy as np

from ppface.core.errors import WeightsError
from ppface.core.run.cpu import cores
from ppface.predict.runtimes import FILES
from ppface.predict.runtimes.description import DescribedModel


class OnnxRuntime(DescribedModel):
    """The model.onnx in a folder that ppface export wrote.

    Args:
        folder: holds inference.yml and model.onnx.
        threads: CPU threads; None: one per core.

    Raises:
        WeightsError: ONNX Runtime is missing or refuses the file; see also DescribedModel.
    """

    def __init__(self, folder: str | Path, threads: int | None = None):
        super().__init__(folder, FILES["onnxruntime"])
        try:
            import onnxruntime
        except ImportError:
            raise WeightsError(f"{self.files[0]}: needs ONNX Runtime: install it with: pip install onnxruntime") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.log_severity_level = 3  # errors alone
        try:
            self._session = onnxruntime.InferenceSession(self.paths[0], options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no class of their own
            raise WeightsError(f"{self.files[0]}: ONNX Runtime cannot run it: {str(error).splitlines()[0]}") from error

    def _run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        names = self.about["outputs"]
        return dict(zip(names, self._session.run(names, {"image": pixels}), strict=True))

"""An exported model as `predict(batch) -> named arrays`, run by OpenVINO."""

from pathlib import Path

import numpy as np

from ppface.core.run.cpu import cores
from ppface.predict.runtimes import FILES, UnusableRuntimeError
from ppface.predict.runtimes.description import DescribedModel


class OpenVino(DescribedModel):
    """The model.xml and model.bin in a folder that ppface export wrote.

    Args:
        folder: holds inference.yml, model.xml and model.bin.
        threads: CPU threads; None: one per core.

    Raises:
        UnusableRuntimeError: OpenVINO cannot be imported or refuses the files.
        WeightsError: see DescribedModel.
    """

    def __init__(self, folder: str | Path, threads: int | None = None):
        super().__init__(folder, FILES["openvino"])
        # float32: where the processor has bfloat16, OpenVINO computes in it otherwise
        settings = {
            "INFERENCE_NUM_THREADS": threads or cores(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            import openvino

            self._request = openvino.Core().compile_model(self.paths[0], "CPU", settings).create_infer_request()
        except Exception as error:  # a broken installation raises anything
            raise UnusableRuntimeError(self.files[0], "OpenVINO", "openvino", error, -1) from error

    def _run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        self._request.infer({"image": pixels}, share_inputs=True)
        return {name: self._request.get_tensor(name).data.copy() for name in self.about["outputs"]}

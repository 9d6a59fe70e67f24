"""An exported model as `predict(batch) -> named arrays`, run by paddle.inference."""

from pathlib import Path

import numpy as np

from ppface.core.run.cpu import cores
from ppface.predict.runtimes import FILES
from ppface.predict.runtimes.description import DescribedModel

CACHED_SHAPES = 32  # number of input shapes whose prepared kernels oneDNN keeps


class Exported(DescribedModel):
    """The static model in a folder that ppface export wrote.

    Args:
        folder: holds inference.yml, model.json and model.pdiparams.
        threads: CPU threads; None: one per core.
        onednn: use oneDNN on a CPU (about five times faster than without).
        gpu: run on the first GPU.

    Shape:
        {"image": (N, 3, H, W) uint8} -> arrays by the names that inference.yml lists

    Raises:
        WeightsError: a folder without these files, or with other files than were exported.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, onednn: bool = True, gpu: bool = False):
        super().__init__(folder, FILES["paddle"])
        from paddle import inference

        config = inference.Config(*self.paths)
        config.disable_glog_info()
        config.enable_new_executor()
        config.enable_memory_optim()  # needs the new executor
        if gpu:
            config.enable_use_gpu(256, 0)
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads or cores())
            if onednn:
                config.enable_mkldnn()
                config.set_mkldnn_cache_capacity(CACHED_SHAPES)
            else:
                config.disable_mkldnn()
        self._predictor = inference.create_predictor(config)
        self._input = self._predictor.get_input_handle("image")
        self._outputs = [self._predictor.get_output_handle(name) for name in self._predictor.get_output_names()]

    def _run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        self._input.copy_from_cpu(pixels)
        self._predictor.run()
        return {name: output.copy_to_cpu() for name, output in zip(self.about["outputs"], self._outputs, strict=True)}

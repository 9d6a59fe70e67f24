"""Files on disk: checkpoints, safetensors, readers of untrusted weights and pickles, atomic writes."""

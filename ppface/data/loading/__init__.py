"""From a data set to batches: samplers, worker processes, label files, digests."""

"""MXNet RecordIO files (`.rec`, `.idx`): read in place and written, without mxnet."""

from ppface.data.recordio.record_file import RecordFile
from ppface.data.recordio.record_writer import RecordWriter

__all__ = ["RecordFile", "RecordWriter"]

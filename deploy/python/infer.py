"""Finds or embeds faces with an exported model, in pictures, folders, videos or from a camera, or compares two, without ppface.

python deploy/python/infer.py --model export/blazeface --input picture.jpg --output out
python deploy/python/infer.py --model export/blazeface --input 0 --output out --frames 250
python deploy/python/infer.py --model export/blazeface --landmarks export/pfld --input picture.jpg --output out
python deploy/python/infer.py --model export/adaface --input aligned/ --json embeddings.json
python deploy/python/infer.py --model export/adaface --compare a.jpg b.jpg --threshold 0.3
"""

import argparse
import os
import sys

from embedder import open_export
from media import MediaError
from runtimes import CHOICES, ModelError
from session import add_options, expand_home, process, report_error, with_landmarks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True, help="the folder of an export")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--runtime", choices=CHOICES, default="auto", help="what runs it (default: the fastest that is installed)")
    add_options(parser)
    options = argparse.Namespace(**{name: expand_home(value) for name, value in vars(parser.parse_args()).items()})
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # for file names that are not UTF-8
    try:
        find = open_export(options.model, options.threads, options.device, options.runtime)
        if options.landmarks:
            landmarks = open_export(options.landmarks, options.threads, options.device)
            find = with_landmarks(find, landmarks, options)
        code = process(find, options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (MediaError, ModelError) as error:
        return report_error(error)


if __name__ == "__main__":
    sys.exit(main())

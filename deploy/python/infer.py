"""Finds faces with an exported model, in pictures, folders, videos or from a camera, without ppface.

python deploy/python/infer.py --model export/blazeface --input picture.jpg --output out
python deploy/python/infer.py --model export/blazeface --input 0 --output out --frames 250
"""

import argparse
import sys

from detector import FaceDetector, ModelError
from media import MediaError
from session import add_options, complain, process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True, help="the folder of an export")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    add_options(parser)
    options = parser.parse_args()
    try:
        return process(FaceDetector(options.model, options.threads, options.device), options)
    except (MediaError, ModelError) as error:
        return complain(error)


if __name__ == "__main__":
    sys.exit(main())

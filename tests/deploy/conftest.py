"""Makes the files of deploy/python importable, as they are for each other."""

import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "python"
sys.path.insert(0, str(DEPLOY))

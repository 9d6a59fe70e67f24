"""Sets of labelled picture pairs for verification.

A set has `len` (distinct pictures), `picture(i)`, `first` and `second` (N,) picture numbers of each pair, `issame` (N,) bool, and
`folds`: the number of folds, of consecutive pairs, in its protocol. One whose `picture(i)` decodes it also has `header(i)`: name and size.
"""

from ppface.data.pairs.bin_pairs import BinPairs
from ppface.data.pairs.cfp_pairs import CfpPairs
from ppface.data.pairs.drawn_pairs import DrawnPairs
from ppface.data.pairs.lfw_pairs import LfwPairs
from ppface.data.pairs.pair_list import PairList

__all__ = ["BinPairs", "CfpPairs", "DrawnPairs", "LfwPairs", "PairList"]

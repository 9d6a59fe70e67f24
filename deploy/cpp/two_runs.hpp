// Merges the faces of a detector's run with those of a second, coarser run that is for large faces alone.
#pragma once

#include <vector>

#include "face.hpp"

// Greedy suppression over the faces of the first run whose longer side is below `large`, without parts of larger ones, and those of the
// second run from `large` on. All in the same pixels.
std::vector<Face> merged(const std::vector<Face>& fine, const std::vector<Face>& coarse, double large);

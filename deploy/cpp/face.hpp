// A face in pixels of its picture.
#pragma once

#include <array>
#include <vector>

struct Face {
  std::array<double, 4> box;  // x1, y1, x2, y2
  double score;               // 0..1
  std::vector<std::array<double, 2>> landmarks;  // x, y; empty if the model has none
};

// Runs the model's file with OpenVINO on the CPU.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <opencv2/core.hpp>

#include "export_folder.hpp"

struct Output {
  size_t rows = 0, columns = 0;  // columns: the product of all dimensions but the first
  std::vector<float> values;     // row by row
};

// (H, W, 3) BGR -> the outputs by name, of one picture
using Run = std::function<std::map<std::string, Output>(const cv::Mat&)>;

// Not thread-safe: start one for each thread. threads 0: one per core. Throws Failure.
Run start(const Export& about, int threads);

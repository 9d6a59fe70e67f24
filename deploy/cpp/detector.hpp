// Finds the faces of a picture.
#pragma once

#include "export_folder.hpp"
#include "face.hpp"
#include "runtime.hpp"

class Detector {
 public:
  // threads 0: one per core. Throws Failure for a model that finds no faces.
  Detector(const Export& about, int threads);

  // (H, W, 3) BGR -> faces, best first
  std::vector<Face> operator()(const cv::Mat& picture);

 private:
  Export about_;
  Run run_;
};

// Writes faces as JSON, in the form of deploy/python.
#pragma once

#include <string>
#include <vector>

#include <opencv2/core.hpp>

#include "face.hpp"

struct Record {
  std::string image;  // the file's name
  cv::Size size;
  std::vector<Face> faces;
};

// Creates the folders of the file. Throws Failure.
void write_json(const std::string& file, const std::vector<Record>& records);

// Reads picture files.
#pragma once

#include <string>

#include <opencv2/core.hpp>

// (H, W, 3) uint8 BGR, upright by its EXIF orientation. OpenCV fills a truncated picture with grey, so the end of JPEG, PNG and WebP is
// checked. Throws Failure, whose message does not name the file.
cv::Mat read_picture(const std::string& path);

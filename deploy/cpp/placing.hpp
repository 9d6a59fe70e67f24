// At which size a picture enters the network, and where in it.
#pragma once

#include <opencv2/core.hpp>

#include "export_folder.hpp"

struct Place {
  cv::Size inner, size;  // of the resized picture, and of the network's input, which differ in mode letterbox

  cv::Point corner() const { return {(size.width - inner.width) / 2, (size.height - inner.height) / 2}; }
};

Place place_of(const Export& about, cv::Size picture);

// The picture resized to `inner`, in the middle of `size`, grey around it.
cv::Mat placed(const cv::Mat& picture, const Place& place);

#include "placing.hpp"

#include <algorithm>
#include <cmath>

#include <opencv2/imgproc.hpp>

namespace {

constexpr int GREY = 128;

cv::Size scaled(cv::Size picture, double scale) {
  // nearbyint: halves to the even number, as Python's round
  const auto side = [scale](int pixels) { return std::max(1, static_cast<int>(std::nearbyint(pixels * scale))); };
  return {side(picture.width), side(picture.height)};
}

// Bilinear, or by area averaging below a quarter of the pixels.
cv::Mat resized(const cv::Mat& picture, cv::Size size) {
  if (picture.size() == size) return picture;
  const bool averaging = picture.total() > 4 * static_cast<size_t>(size.area());
  cv::Mat result;
  cv::resize(picture, result, size, 0, 0, averaging ? cv::INTER_AREA : cv::INTER_LINEAR);
  return result;
}

}  // namespace

Place place_of(const Export& about, cv::Size picture) {
  const cv::Size size(about.width, about.height);
  if (about.mode == "stretch") return {size, size};
  if (about.mode == "letterbox") {
    const double scale = std::min(double(size.height) / picture.height, double(size.width) / picture.width);
    return {scaled(picture, scale), size};
  }
  const int longer = std::max(picture.height, picture.width), shorter = std::min(picture.height, picture.width);
  double scale = 1;
  if (about.mode != "native") scale = double(about.height) / (about.mode == "long_side" ? longer : shorter);
  if (about.max_side) scale = std::min(scale, double(about.max_side) / longer);
  return {scaled(picture, scale), scaled(picture, scale)};
}

cv::Mat placed(const cv::Mat& picture, const Place& place) {
  if (place.inner == place.size) return resized(picture, place.size);
  cv::Mat canvas(place.size, CV_8UC3, cv::Scalar::all(GREY));
  resized(picture, place.inner).copyTo(canvas(cv::Rect(place.corner(), place.inner)));
  return canvas;
}

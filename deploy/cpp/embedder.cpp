#include "embedder.hpp"

#include <cmath>
#include <numeric>

#include "failure.hpp"
#include "placing.hpp"

Embedder::Embedder(const Export& about, int threads, bool resize) : about_(about), resize_(resize) {
  if (!about.has("embedding")) {
    throw Failure(WRONG_MODEL, about.folder.string() + ": --compare expects a model with the output 'embedding', this one has " +
                                   about.listed());
  }
  run_ = start(about, threads);
}

std::vector<float> Embedder::operator()(const cv::Mat& picture) {
  const Place place = place_of(about_, picture.size());
  if (picture.size() != place.size && !resize_ && about_.mode != "letterbox") {
    const auto text = [](cv::Size size) { return std::to_string(size.width) + "x" + std::to_string(size.height); };
    throw Failure(WRONG_PICTURE, "expected an aligned face of " + text(place.size) + " pixels, received " + text(picture.size()) +
                                     ": align it with ppface align, or give --resize");
  }
  return run_(placed(picture, place)).at("embedding").values;
}

double similarity(const std::vector<float>& a, const std::vector<float>& b) {
  const auto dot = [](const auto& u, const auto& v) { return std::inner_product(u.begin(), u.end(), v.begin(), 0.0); };
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

#include "detector.hpp"

#include <algorithm>
#include <cmath>

#include "failure.hpp"
#include "placing.hpp"
#include "two_runs.hpp"

namespace {

// The model's output, mapped from the network's input to the picture's pixels.
std::vector<Face> mapped(std::map<std::string, Output> outputs, const Place& place, cv::Size picture) {
  const double scale_x = double(picture.width) / place.inner.width, scale_y = double(picture.height) / place.inner.height;
  const auto x = [&](float value) { return (value - place.corner().x) * scale_x; };
  const auto y = [&](float value) { return (value - place.corner().y) * scale_y; };
  const Output &boxes = outputs["boxes"], &scores = outputs["scores"], &landmarks = outputs["landmarks"];
  std::vector<Face> faces(boxes.rows);
  for (size_t i = 0; i < faces.size(); ++i) {
    const float* box = &boxes.values[4 * i];
    faces[i].box = {x(box[0]), y(box[1]), x(box[2]), y(box[3])};
    faces[i].score = scores.values[i];
    for (size_t k = 0; k + 1 < landmarks.columns; k += 2) {
      const float* point = &landmarks.values[i * landmarks.columns + k];
      faces[i].landmarks.push_back({x(point[0]), y(point[1])});
    }
  }
  return faces;
}

// Boxes clipped to the picture, without those that lie wholly outside, best first.
std::vector<Face> inside(std::vector<Face> faces, cv::Size picture) {
  const double limits[] = {double(picture.width), double(picture.height)};
  for (Face& face : faces) {
    for (int edge = 0; edge < 4; ++edge) face.box[edge] = std::clamp(face.box[edge], 0.0, limits[edge % 2]);
  }
  const auto outside = [](const Face& face) { return !(face.box[2] > face.box[0] && face.box[3] > face.box[1]); };
  faces.erase(std::remove_if(faces.begin(), faces.end(), outside), faces.end());
  std::stable_sort(faces.begin(), faces.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
  return faces;
}

}  // namespace

Detector::Detector(const Export& about, int threads) : about_(about) {
  if (!about.has("boxes") || !about.has("scores")) {
    throw Failure(WRONG_MODEL, about.folder.string() + ": --input expects a model with the outputs 'boxes' and 'scores', this one has " +
                                   about.listed());
  }
  run_ = start(about, threads);
}

std::vector<Face> Detector::operator()(const cv::Mat& picture) {
  const Place fine = place_of(about_, picture.size());
  std::vector<Face> faces = mapped(run_(placed(picture, fine)), fine, picture.size());
  if (about_.coarser > 0) {
    const auto side = [this](int pixels) { return std::max(1, static_cast<int>(std::nearbyint(pixels * about_.coarser))); };
    const cv::Size size(side(fine.size.width), side(fine.size.height));
    const Place coarse{size, size};
    const double scale = double(std::max(fine.inner.width, fine.inner.height)) / std::max(picture.cols, picture.rows);
    faces = merged(faces, mapped(run_(placed(picture, coarse)), coarse, picture.size()), about_.large / scale);
  }
  return inside(std::move(faces), picture.size());
}

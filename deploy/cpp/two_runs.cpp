#include "two_runs.hpp"

#include <algorithm>

namespace {

constexpr double OVERLAP = 0.4;  // IoU above which two boxes show the same face
constexpr double INSIDE = 0.5;   // a box of the first run with more than this fraction of it inside a large face is a part of that face,
constexpr double PART = 0.5;     // if the large face has at least this fraction of its score

double side(const Face& face) { return std::max(face.box[2] - face.box[0], face.box[3] - face.box[1]); }

double area(const Face& face) { return std::max(0.0, face.box[2] - face.box[0]) * std::max(0.0, face.box[3] - face.box[1]); }

double common(const Face& a, const Face& b) {
  const double width = std::min(a.box[2], b.box[2]) - std::max(a.box[0], b.box[0]);
  const double height = std::min(a.box[3], b.box[3]) - std::max(a.box[1], b.box[1]);
  return std::max(0.0, width) * std::max(0.0, height);
}

}  // namespace

std::vector<Face> merged(const std::vector<Face>& fine, const std::vector<Face>& coarse, double large) {
  std::vector<Face> faces, big, kept;
  std::copy_if(coarse.begin(), coarse.end(), std::back_inserter(big), [large](const Face& face) { return side(face) >= large; });
  for (const Face& face : fine) {
    const auto holds = [&face](const Face& other) { return common(face, other) > INSIDE * area(face) && other.score >= PART * face.score; };
    if (side(face) < large && std::none_of(big.begin(), big.end(), holds)) faces.push_back(face);
  }
  faces.insert(faces.end(), big.begin(), big.end());
  std::stable_sort(faces.begin(), faces.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
  for (const Face& face : faces) {
    const auto same = [&face](const Face& better) {
      const double both = common(face, better);
      return both > OVERLAP * (area(face) + area(better) - both);
    };
    if (std::none_of(kept.begin(), kept.end(), same)) kept.push_back(face);
  }
  return kept;
}

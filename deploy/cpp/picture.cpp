#include "picture.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <opencv2/imgcodecs.hpp>

#include "failure.hpp"

namespace {

using Bytes = std::vector<unsigned char>;

Bytes read_bytes(const std::string& path) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (std::filesystem::is_directory(path)) errno = EISDIR;
  if (!stream || errno == EISDIR) {
    throw Failure(WRONG_PICTURE, std::string("cannot read the picture: ") + std::strerror(errno ? errno : EIO));
  }
  return Bytes(std::istreambuf_iterator<char>(stream), {});
}

bool begins(const Bytes& data, const std::string& with, size_t at = 0) {
  return data.size() >= at + with.size() && std::memcmp(data.data() + at, with.data(), with.size()) == 0;
}

// Whether the end-of-image marker is reached from marker to marker, skipping embedded thumbnails, which have their own.
bool has_end_of_image(const Bytes& data) {
  for (size_t at = 2; at + 1 < data.size();) {
    const unsigned char kind = data[at + 1];
    const bool other = kind == 0 || kind == 0xff || (kind >= 0xd0 && kind <= 0xd7);  // a stuffed byte, a fill byte, a restart marker
    if (data[at] != 0xff || other) {
      ++at;
    } else if (kind == 0xd9) {
      return true;
    } else {
      at += 2;
      if (at + 1 < data.size()) at += data[at] * 256 + data[at + 1];
    }
  }
  return false;
}

bool is_complete(const Bytes& data) {
  if (begins(data, "\xff\xd8\xff")) return has_end_of_image(data);
  if (begins(data, "\x89PNG\r\n\x1a\n")) {
    const std::string end = "IEND";
    return std::search(data.begin(), data.end(), end.begin(), end.end()) != data.end();
  }
  if (begins(data, "RIFF") && begins(data, "WEBP", 8)) {
    return data.size() >= 8 + (data[4] | size_t{data[5]} << 8 | size_t{data[6]} << 16 | size_t{data[7]} << 24);
  }
  return true;
}

}  // namespace

cv::Mat read_picture(const std::string& path) {
  const Bytes data = read_bytes(path);
  if (!is_complete(data)) throw Failure(WRONG_PICTURE, "broken picture: it is truncated");
  cv::Mat picture;
  try {
    if (!data.empty()) picture = cv::imdecode(data, cv::IMREAD_COLOR);
  } catch (const cv::Exception& error) {
    throw Failure(WRONG_PICTURE, "broken picture: " + error.err);
  }
  if (picture.empty()) throw Failure(WRONG_PICTURE, "not a picture that OpenCV can read");
  return picture;
}

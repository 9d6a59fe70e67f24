#include "faces_json.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "failure.hpp"

namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const unsigned char letter : text) {
    if (letter < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", letter);
      result += code;
      continue;
    }
    if (letter == '"' || letter == '\\') result += '\\';
    result += static_cast<char>(letter);
  }
  return result + "\"";
}

std::string decimals(double value, int count) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", count, value);
  return text;
}

std::string json(const Face& face) {
  std::string text = "{\"box\": [";
  for (size_t i = 0; i < 4; ++i) text += (i ? ", " : "") + decimals(face.box[i], 2);
  text += "], \"score\": " + decimals(face.score, 5);
  if (!face.landmarks.empty()) {
    text += ", \"landmarks\": [";
    for (const auto& [x, y] : face.landmarks) text += (text.back() == '[' ? "[" : ", [") + decimals(x, 2) + ", " + decimals(y, 2) + "]";
    text += "]";
  }
  return text + "}";
}

}  // namespace

void write_json(const std::string& file, const std::vector<Record>& records) {
  std::error_code ignored;  // the file that cannot be opened says it
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), ignored);
  std::string text = "[";
  for (const Record& record : records) {
    text += text.size() > 1 ? ",\n {" : "\n {";
    text += "\"image\": " + quoted(record.image) + ", \"size\": [" + std::to_string(record.size.height) + ", " +
            std::to_string(record.size.width) + "], \"faces\": [";
    for (const Face& face : record.faces) text += (&face == record.faces.data() ? "\n  " : ",\n  ") + json(face);
    text += "]}";
  }
  errno = 0;
  std::ofstream stream(file, std::ios::binary);
  stream << text << "\n]\n" << std::flush;
  if (!stream) throw Failure(WRONG_PICTURE, file + ": cannot write the faces: " + std::strerror(errno ? errno : EIO));
}

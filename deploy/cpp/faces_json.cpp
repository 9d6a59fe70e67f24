#include "faces_json.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "failure.hpp"

namespace {

// Number of bytes of the UTF-8 character that begins there; 0 if there is none, as in a file name of another encoding.
size_t utf8(const std::string& text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const bool continues = first < 0xc2 || first > 0xf4;  // no byte with which a character of several bytes begins
  const size_t length = first < 0x80 ? 1 : continues ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (size_t i = 1; i < length; ++i) {
    if (at + i >= text.size() || (text[at + i] & 0xc0) != 0x80) return 0;
  }
  return length;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8(text, at);
    const auto letter = static_cast<unsigned char>(text[at]);
    if (length == 0 || letter < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%s%02x", length ? "00" : "dc", letter);  // dc: as Python keeps bytes that are not UTF-8
      result += code;
      ++at;
      continue;
    }
    if (letter == '"' || letter == '\\') result += '\\';
    result.append(text, at, length);
    at += length;
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

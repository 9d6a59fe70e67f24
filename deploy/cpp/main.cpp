// Finds faces in pictures with an exported model, or compares two aligned faces.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>

#include <opencv2/core/utils/logger.hpp>

#include "detector.hpp"
#include "embedder.hpp"
#include "faces_json.hpp"
#include "failure.hpp"
#include "options.hpp"
#include "picture.hpp"

namespace {

constexpr double THRESHOLD = 0.5;  // lowest score of faces, unless --threshold says another

void print(const Record& record) {
  std::printf("%s: %zu face%s\n", record.image.c_str(), record.faces.size(), record.faces.size() == 1 ? "" : "s");
  for (const Face& face : record.faces) {
    std::printf("  box %.2f %.2f %.2f %.2f  score %.5f", face.box[0], face.box[1], face.box[2], face.box[3], face.score);
    if (!face.landmarks.empty()) std::printf("  landmarks");
    for (const auto& [x, y] : face.landmarks) std::printf(" %.2f,%.2f", x, y);
    std::printf("\n");
  }
}

int detect(const Options& options, const Export& about) {
  Detector find(about, options.threads);
  std::vector<Record> records;
  int exit_code = 0;
  for (const std::string& path : options.input) {
    try {
      const cv::Mat picture = read_picture(path);
      Record record{std::filesystem::path(path).filename().string(), picture.size(), {}};
      for (Face& face : find(picture)) {
        if (face.score >= options.threshold.value_or(THRESHOLD)) record.faces.push_back(std::move(face));
      }
      print(record);
      records.push_back(std::move(record));
    } catch (const Failure& failure) {
      std::cerr << "skipped: " << path << ": " << failure.what() << std::endl;
      exit_code = failure.exit_code;
    }
  }
  if (!options.json.empty()) write_json(options.json, records);
  return exit_code;
}

int compare(const Options& options, const Export& about) {
  Embedder embed(about, options.threads, options.resize);
  std::vector<std::vector<float>> embeddings;
  for (const std::string& path : options.compare) {
    try {
      embeddings.push_back(embed(read_picture(path)));
    } catch (const Failure& failure) {
      throw Failure(failure.exit_code, path + ": " + failure.what());
    }
  }
  const double found = similarity(embeddings[0], embeddings[1]);
  std::printf("similarity %.4f (cosine, -1 to 1)\n", found);
  if (options.threshold) {
    std::printf("%s at threshold %g\n", found > *options.threshold ? "the same person" : "two people", *options.threshold);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);  // its warnings repeat our messages
  try {
    const Options options = parse(count, arguments);
    if (options.help) {
      std::cout << USAGE;
      return 0;
    }
    const Export about = open_export(options.model);
    return options.compare.empty() ? detect(options, about) : compare(options, about);
  } catch (const Failure& failure) {
    std::cerr << "error: " << failure.what() << std::endl;
    return failure.exit_code;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
}

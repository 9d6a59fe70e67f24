#include "export_folder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <memory>

#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include "failure.hpp"

namespace fs = std::filesystem;

namespace {

const std::array<const char*, 5> MODES = {"native", "stretch", "letterbox", "long_side", "short_side"};

bool known(const std::string& mode) { return std::find(MODES.begin(), MODES.end(), mode) != MODES.end(); }

std::string sha256(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::vector<char> buffer(1 << 20);
  while (stream.read(buffer.data(), buffer.size()), stream.gcount() > 0) {
    EVP_DigestUpdate(context.get(), buffer.data(), stream.gcount());
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &length);
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

// The folder of the format that OpenVINO runs fastest. An ONNX file is taken where there is nothing else: its figures are of another
// runtime.
fs::path fastest(const fs::path& folder) {
  const fs::path parity = folder / "parity.json";
  fs::path best;
  double least = 0;
  bool best_is_onnx = true;
  try {
    for (const auto& row : YAML::LoadFile(parity.string())["formats"]) {  // JSON is YAML
      const std::string runtime = row["runtime"].as<std::string>();
      const bool onnx = runtime == "onnxruntime";
      if (!onnx && runtime != "openvino") continue;
      double ms = HUGE_VAL;
      for (const auto& figure : row["ms"]) ms = std::min(ms, figure.second.as<double>());
      const fs::path place = folder / row["folder"].as<std::string>();
      if (!fs::is_regular_file(place / "inference.yml")) continue;
      if (best.empty() || (best_is_onnx && !onnx) || (best_is_onnx == onnx && ms < least)) {
        best = place;
        least = ms;
        best_is_onnx = onnx;
      }
    }
  } catch (const YAML::Exception&) {
    throw Failure(WRONG_MODEL, parity.string() + ": not the figures of an export: name the folder of one format");
  }
  if (best.empty()) {
    throw Failure(WRONG_MODEL, folder.string() + ": no format for OpenVINO in it: export it with --format openvino");
  }
  return best;
}

Export described(const fs::path& folder, YAML::Node& digests) {
  const fs::path file = folder / "inference.yml";
  Export found;
  found.folder = folder;
  try {
    const YAML::Node about = YAML::LoadFile(file.string());
    const YAML::Node test = about["input"]["test"];
    if (about["format"].as<int>() != 1 || !about["sha256"].IsMap()) throw YAML::Exception(YAML::Mark(), "");
    found.outputs = about["outputs"].as<std::vector<std::string>>();
    found.mode = test["mode"].as<std::string>();
    if (test["size"] && test["size"].IsSequence()) {
      found.height = test["size"][0].as<int>();
      found.width = test["size"][1].as<int>();
    }
    found.max_side = test["max_side"] ? test["max_side"].as<int>() : 0;
    found.coarser = test["coarser"] ? test["coarser"].as<double>() : 0;
    found.large = test["large"] ? test["large"].as<double>() : 0;
    digests = about["sha256"];
    if (known(found.mode) && found.mode != "native" && std::min(found.height, found.width) < 1) throw YAML::Exception(YAML::Mark(), "");
  } catch (const YAML::Exception&) {
    throw Failure(WRONG_MODEL, file.string() + ": expected the description of an exported model in format 1: export the model again");
  }
  if (!known(found.mode)) {
    throw Failure(WRONG_MODEL, file.string() + ": expected input.test.mode to be one of native, stretch, letterbox, long_side, " +
                                   "short_side, received '" + found.mode + "': take deploy/cpp from the version that exported the model");
  }
  return found;
}

}  // namespace

bool Export::has(const std::string& output) const { return std::find(outputs.begin(), outputs.end(), output) != outputs.end(); }

std::string Export::listed() const {
  std::string text;
  for (const std::string& output : outputs) text += (text.empty() ? "" : ", ") + output;
  return text;
}

Export open_export(const fs::path& given) {
  if (!fs::is_directory(given)) {
    throw Failure(WRONG_MODEL, given.string() + ": no such folder; expected one that ppface export wrote");
  }
  const bool several = !fs::exists(given / "inference.yml") && fs::exists(given / "parity.json");
  const fs::path folder = several ? fastest(given) : given;
  if (!fs::is_regular_file(folder / "inference.yml")) {
    throw Failure(WRONG_MODEL, folder.string() + ": expected an exported model, inference.yml is missing");
  }
  std::vector<std::string> files = {"model.xml", "model.bin"};
  if (!fs::exists(folder / "model.xml")) {
    if (!fs::exists(folder / "model.onnx")) {
      throw Failure(WRONG_MODEL, folder.string() + ": expected model.xml or model.onnx in it: export it with --format openvino");
    }
    files = {"model.onnx"};
  }
  YAML::Node digests;
  Export found = described(folder, digests);
  found.model = folder / files[0];
  for (const std::string& name : files) {
    if (!fs::is_regular_file(folder / name)) {
      throw Failure(WRONG_MODEL, folder.string() + ": expected an exported model, " + name + " is missing");
    }
    if (!digests[name] || digests[name].as<std::string>() != sha256(folder / name)) {
      throw Failure(WRONG_MODEL, (folder / name).string() + ": not the file that inference.yml describes: truncated or replaced; " +
                                     "export or copy both again");
    }
  }
  return found;
}

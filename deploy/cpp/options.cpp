#include "options.hpp"

#include <cmath>

#include "failure.hpp"

const char* const USAGE =
    "usage: ppface_detect --model FOLDER --input PICTURE... [--threshold T] [--json FILE] [--threads N]\n"
    "       ppface_detect --model FOLDER --compare PICTURE PICTURE [--threshold T] [--resize] [--threads N]\n"
    "\n"
    "Finds faces with a model that `ppface export --format openvino` (or onnx) wrote, or compares two aligned faces.\n"
    "\n"
    "  --model FOLDER    what ppface export wrote\n"
    "  --input PICTURE   one or more pictures\n"
    "  --compare A B     print the similarity of two aligned faces\n"
    "  --threshold T     lowest score of faces (default: 0.5); with --compare: similarity above which it is the same person\n"
    "  --json FILE       where to write the faces of --input\n"
    "  --resize          with --compare: stretch pictures of another size to the model's; otherwise they are an error\n"
    "  --threads N       CPU threads (default: one per core)\n"
    "\n"
    "exit codes: 0 done, 2 a mistake in the options, 3 a picture or file that cannot be used, 4 a model that cannot be used\n";

namespace {

double number(const std::string& option, const std::string& text) {
  size_t used = 0;
  double value = NAN;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  if (used != text.size() || !std::isfinite(value)) throw Failure(WRONG_OPTION, option + ": expected a number, received '" + text + "'");
  return value;
}

bool is_option(const std::string& text) { return text.rfind("--", 0) == 0; }

}  // namespace

Options parse(int count, char** arguments) {
  Options found;
  for (int i = 1; i < count;) {
    const std::string option = arguments[i++];
    std::vector<std::string> values;
    while (i < count && !is_option(arguments[i])) values.emplace_back(arguments[i++]);
    const auto one = [&]() -> const std::string& {
      if (values.size() != 1) throw Failure(WRONG_OPTION, option + ": expected one value, received " + std::to_string(values.size()));
      return values[0];
    };
    if (option == "--help") {
      found.help = true;
      return found;
    } else if (option == "--model") {
      found.model = one();
    } else if (option == "--json") {
      found.json = one();
    } else if (option == "--threshold") {
      found.threshold = number(option, one());
    } else if (option == "--threads") {
      const double threads = number(option, one());
      if (threads < 1 || threads > 1024 || threads != std::floor(threads)) {
        throw Failure(WRONG_OPTION, "--threads: expected a whole number from 1 on, received '" + values[0] + "'");
      }
      found.threads = static_cast<int>(threads);
    } else if (option == "--resize" && values.empty()) {
      found.resize = true;
    } else if (option == "--input" && !values.empty()) {
      found.input = values;
    } else if (option == "--compare" && values.size() == 2) {
      found.compare = values;
    } else if (option == "--input" || option == "--compare" || option == "--resize") {
      const char* wanted = option == "--resize" ? "no value" : option == "--input" ? "one or more pictures" : "two pictures";
      throw Failure(WRONG_OPTION, option + ": expected " + wanted + ", received " + std::to_string(values.size()));
    } else {
      throw Failure(WRONG_OPTION, "'" + option + "': no such option: see --help");
    }
  }
  if (found.model.empty()) throw Failure(WRONG_OPTION, "expected --model, the folder of an export: see --help");
  if (found.input.empty() == found.compare.empty()) throw Failure(WRONG_OPTION, "expected either --input or --compare: see --help");
  if (found.resize && found.compare.empty()) throw Failure(WRONG_OPTION, "--resize: expected --compare with it");
  if (!found.json.empty() && found.input.empty()) throw Failure(WRONG_OPTION, "--json: expected --input with it");
  return found;
}

// The folder that `ppface export` wrote: which of its formats is run, and what inference.yml says.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

struct Export {
  std::filesystem::path folder, model;  // of one format; model.xml or model.onnx
  std::vector<std::string> outputs;
  std::string mode;           // how a picture enters the network: native, stretch, letterbox, long_side or short_side
  int height = 0, width = 0;  // of the mode; long_side and short_side take `height`
  int max_side = 0;           // the longer side is at most this; 0: any
  double coarser = 0;         // fraction of the size at which the detector runs a second time; 0: it does not
  double large = 0;           // faces of this side or more, in pixels of the first size, are those of the second run

  bool has(const std::string& output) const;
  std::string listed() const;  // the outputs, for messages
};

// Reads inference.yml and compares the model's files with their SHA-256: runtimes crash on truncated files. Of several formats the one that
// OpenVINO runs fastest, by parity.json. Throws Failure.
Export open_export(const std::filesystem::path& folder);

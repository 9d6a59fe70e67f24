// The options of the program.
#pragma once

#include <optional>
#include <string>
#include <vector>

struct Options {
  std::string model, json;
  std::vector<std::string> input, compare;  // compare: none or two
  std::optional<double> threshold;
  int threads = 0;  // 0: one per core
  bool resize = false, help = false;
};

extern const char* const USAGE;

// Throws Failure.
Options parse(int count, char** arguments);

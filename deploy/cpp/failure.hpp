// An error of the user: one line for standard error, and the exit code.
#pragma once

#include <stdexcept>
#include <string>

constexpr int WRONG_OPTION = 2, WRONG_PICTURE = 3, WRONG_MODEL = 4;  // as of deploy/python

struct Failure : std::runtime_error {
  Failure(int exit_code, const std::string& message) : std::runtime_error(message), exit_code(exit_code) {}
  int exit_code;
};

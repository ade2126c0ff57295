#pragma once

#include <filesystem>
#include <stdexcept>

#include "tile.hpp"

namespace mandelbrot {

struct Options {
  Size size;
  std::filesystem::path output = "mandelbrot.png";
  bool baseline = true;
  bool help = false;
};

extern const char* const usage;

/// The command line cannot be followed; the text says what is wrong with it.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// @throws UsageError
Options parse_options(int argc, char** argv);

}  // namespace mandelbrot

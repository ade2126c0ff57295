#include "options.hpp"

#include <charconv>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace mandelbrot {
namespace {

constexpr int longest_edge = 16'384;

std::optional<int> parse_edge(std::string_view text) {
  int edge = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), edge);
  if (error != std::errc() || end != text.data() + text.size() || edge < 1 || edge > longest_edge) return {};
  return edge;
}

Size parse_size(std::string_view text) {
  const std::size_t cross = text.find('x');
  if (cross != std::string_view::npos) {
    const std::optional<int> width = parse_edge(text.substr(0, cross));
    const std::optional<int> height = parse_edge(text.substr(cross + 1));
    if (width && height) return {*width, *height};
  }
  throw UsageError("--size wants WIDTHxHEIGHT, such as 1920x1080, each from 1 to " + std::to_string(longest_edge) +
                   "; got '" + std::string(text) + "'");
}

/// A picture that cannot be saved is better known before it is computed.
std::filesystem::path parse_output(std::string_view text) {
  if (!std::ofstream(std::string(text), std::ios::app)) {
    throw UsageError("--output: cannot write '" + std::string(text) + "'");
  }
  return text;
}

}  // namespace

const char* const usage =
    "usage: mandelbrot [--size WxH] [--output FILE] [--no-baseline]\n"
    "\n"
    "Renders a place in the Mandelbrot set, magnified 3 x 10^28 times, on every core of the\n"
    "job, and saves it as a PNG.\n"
    "\n"
    "  --size WxH      size of the picture in pixels (default: 1920x1080)\n"
    "  --output FILE   where to save it (default: mandelbrot.png)\n"
    "  --no-baseline   do not measure one process for comparison\n"
    "  --help          show this\n"
    "\n"
    "To use the cores of several ranks or hosts: mpirun -n 4 mandelbrot\n";

Options parse_options(int argc, char** argv) {
  Options options;
  std::string_view output = options.output.native();
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const auto value = [&] {
      if (i + 1 == argc) throw UsageError(std::string(option) + " wants a value");
      return std::string_view(argv[++i]);
    };
    if (option == "--size") {
      options.size = parse_size(value());
    } else if (option == "--output") {
      output = value();
    } else if (option == "--no-baseline") {
      options.baseline = false;
    } else if (option == "--help" || option == "-h") {
      options.help = true;
    } else {
      throw UsageError("there is no option '" + std::string(option) + "'");
    }
  }
  if (!options.help) options.output = parse_output(std::string(output));
  return options;
}

}  // namespace mandelbrot

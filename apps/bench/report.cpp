#include "report.hpp"

#include <cmath>
#include <cstdio>
#include <ostream>

namespace bench {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      result += escape;
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string number(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// Four digits that matter, without an exponent.
std::string readable(double value) {
  const double size = std::fabs(value);
  return number(value, size >= 1000 ? "%.0f" : size >= 100 ? "%.1f" : size >= 10 ? "%.2f" : "%.3f");
}

}  // namespace

void write_table(std::ostream& out, const Machine& machine, const std::vector<Metric>& metrics) {
  out << "# rankpool benchmark on " << machine.host << ": ranks " << machine.ranks << ", slots " << machine.slots
      << ", workers " << machine.workers << ", cores " << machine.cores << ", MPI " << (machine.mpi ? "yes" : "no")
      << '\n';
  char line[256];
  std::snprintf(line, sizeof line, "# %-20s %14s  %-8s %s\n", "Name", "Value", "Unit", "Mark");
  out << line;
  for (const Metric& metric : metrics) {
    const std::string value = metric.value ? readable(*metric.value) : "-";
    std::snprintf(line, sizeof line, "%-22s %14s  %-8s %s\n", metric.name.c_str(), value.c_str(), metric.unit.c_str(),
                  metric.mark.c_str());
    out << line;
  }
}

void write_json(std::ostream& out, const Machine& machine, const std::vector<Metric>& metrics) {
  out << "{\n  \"host\": " << quoted(machine.host) << ",\n  \"ranks\": " << machine.ranks
      << ",\n  \"slots\": " << machine.slots << ",\n  \"workers\": " << machine.workers
      << ",\n  \"cores\": " << machine.cores << ",\n  \"mpi\": " << (machine.mpi ? "true" : "false");
  for (const Metric& metric : metrics) {
    out << ",\n  " << quoted(metric.name) << ": "
        << (metric.value && std::isfinite(*metric.value) ? number(*metric.value, "%.9g") : "null");
  }
  out << "\n}\n";
}

}  // namespace bench

// What was measured, as a table for people or as one JSON object for programs.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace bench {

struct Metric {
  std::string name;
  std::optional<double> value;  ///< none: could not be measured
  std::string unit;
  std::string mark;  ///< what to hold it against, or why there is no value
};

/// Where it was measured.
struct Machine {
  std::string host;
  int ranks = 0;
  int slots = 0;
  int workers = 0;
  int cores = 0;
  bool mpi = false;
};

void write_table(std::ostream& out, const Machine& machine, const std::vector<Metric>& metrics);

/// A flat object: the machine, then the metrics by name; null for those without a value.
void write_json(std::ostream& out, const Machine& machine, const std::vector<Metric>& metrics);

}  // namespace bench

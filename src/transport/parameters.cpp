#include "transport/parameters.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

#include <rankpool/errors.hpp>

namespace rankpool::transport {

void set_mpi_parameters() {
  static constexpr const char* parameters[][2] = {
      // Debian's default list of one-sided components has none that works between hosts; without ucx it has one.
      {"OMPI_MCA_osc", "^ucx"},
      // Ranks share cores with the children of others: a rank that waits inside MPI must let them run.
      {"OMPI_MCA_mpi_yield_when_idle", "1"},
      // Copies across address spaces need ptrace rights, which containers refuse, and are slower on virtual machines.
      {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
      // MPI_Finalize waits for nobody: everything has been said before, and a dead rank would be waited for without
      // end.
      {"OMPI_MCA_async_mpi_finalize", "1"},
  };
  for (const auto& [name, value] : parameters) ::setenv(name, value, 0);
}

namespace {

/// Has the user set this variable to `choice` rather than to the default, or not at all? @throws MpiError
bool chosen(const char* variable, const char* choice, const char* otherwise) {
  const char* given = std::getenv(variable);
  const std::string_view value = given != nullptr ? given : "";
  if (value == choice) return true;
  if (value.empty() || value == otherwise) return false;
  throw MpiError(std::string(variable) + " is '" + std::string(value) + "': set it to '" + choice + "' or '" +
                 otherwise + "', or not at all");
}

}  // namespace

bool segments_by_copy() { return chosen("RANKPOOL_SEGMENTS", "copy", "reference"); }

bool windows_wanted() {
  const char* const given = std::getenv("RANKPOOL_WINDOW");
  if (given != nullptr && std::string_view(given) == "one_sided") return true;
  return !chosen("RANKPOOL_WINDOW", "messages", "auto");
}

}  // namespace rankpool::transport

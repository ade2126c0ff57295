// A little of everything that rankpool can do.
#pragma once

#include <rankpool/rankpool.hpp>

namespace soak {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;  ///< then memory is the sanitizer's: it can neither be limited nor compared
#else
constexpr bool sanitized = false;
#endif

/// Does every kind of work once, with what has lived from the start and with what lives no longer than the round, and
/// waits until nothing of it is under way. @throws std::runtime_error if anything came out wrong
class Load {
 public:
  void round();
  /// Nothing, for as long as it takes until every process has given back what it only keeps for speed.
  void rest();
  /// Once, before: uses all memory that what lives from the start has for its messages, which are rings of a fixed
  /// size, and would seem to grow while they are used for the first time.
  void warm_up();

 private:
  void maps();
  void streams();
  void futures();
  void failures();
  void short_pools();
  void queues();
  void pipes_and_processes();
  void synchronisation();
  void containers();
  void large_payloads();

  rankpool::Pool pool_{4};
  rankpool::ProcessPoolExecutor executor_{2};
  rankpool::Queue<long> queue_;
  rankpool::Lock lock_;
  rankpool::Value<long> value_{0};
  rankpool::Manager manager_;
  rankpool::Dict<long, long> dict_ = manager_.dict<long, long>();
  long number_ = 0;
};

}  // namespace soak

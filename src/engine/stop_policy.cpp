#include "engine/stop_policy.hpp"

#include <csignal>

namespace rankpool::engine {

StopPolicy::Action StopPolicy::signalled(int rank, int signal, Time now) {
  if (signal == SIGUSR1) {
    if (phase_ != Phase::running) return Action::none;
    phase_ = Phase::draining;
    return Action::drain;
  }
  const bool again = asked_.at(static_cast<std::size_t>(rank));
  asked_.at(static_cast<std::size_t>(rank)) = true;
  if (phase_ < Phase::stopping) {
    phase_ = Phase::stopping;
    signal_ = signal;
    first_ = now;
    return Action::stop;
  }
  if (phase_ == Phase::ended || !again || now - first_ < apart) return Action::none;
  phase_ = Phase::ended;
  return Action::end;
}

StopPolicy::Action StopPolicy::look(Time now, bool idle) {
  if (phase_ != Phase::stopping || (!idle && now < next())) return Action::none;
  phase_ = Phase::told;
  return Action::tell;
}

}  // namespace rankpool::engine

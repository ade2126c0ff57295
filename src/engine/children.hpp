// The child processes of a rank: one port each, one owner each.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/port.hpp"
#include "engine/router.hpp"
#include "wire/messages.hpp"
#include "worker/zygote.hpp"

namespace rankpool::engine {

/// The room of the engine for which a child works.
class ChildOwner {
 public:
  /// The child has been forked; not every owner wants to know.
  virtual void on_child_forked(std::uint32_t, pid_t) {}
  /// A frame from the child to its engine.
  virtual void on_child_frame(std::uint32_t link, link::Incoming& in) = 0;
  /// The child's ring has been read as far as it goes for now.
  virtual void on_child_batch(std::uint32_t link) = 0;
  /// The child has ended and all it had sent was handed over. `begun`: tasks it had begun.
  virtual void on_child_ended(std::uint32_t link, pid_t pid, int wait_status, std::uint64_t begun) = 0;
  /// The child could not be forked.
  virtual void on_fork_failed(std::uint32_t link, int error) = 0;

 protected:
  ~ChildOwner() = default;
};

/// Makes children and moves their frames. Frames of a child that are not for its engine go through the router.
class Children {
 public:
  Children(worker::Zygote zygote, link::RankPageData& page, Router& router);

  /// One more child; returns its link number, to which frames can be sent at once. @throws std::system_error
  std::uint32_t spawn(ChildOwner& owner);
  void signal(std::uint32_t link, int number) { zygote_.signal(link, number); }
  /// The port of a link, or null. The main program of rank 0 has one too.
  Port* port(std::uint32_t link);
  /// A home calls back what it has lent to one of these processes (lease_recall).
  void recall_lease(const wire::Header& head, std::span<const std::byte> body);
  /// All user processes of this rank hear that another one is lost, those to come first of all.
  void rank_lost(const wire::RankLost& lost);
  /// Adds the link of the main program (rank 0).
  static constexpr std::uint32_t main_link = 1;
  void add_main(link::LinkEnd end);

  /// Reads all ports and the zygote's reports, a bounded amount of each. True if anything moved.
  bool progress();
  /// @throws std::system_error if the zygote is gone, which cannot say so itself
  void check_zygote() { read_zygote(); }
  /// Sends what was kept and wakes whom something was sent.
  bool flush();
  bool pending() const;
  /// Kills all children at once.
  void stop();

 private:
  struct Child {
    Port port;
    ChildOwner* owner;  // null: the main program
    pid_t pid = 0;
    std::vector<bool> spoken_to{};  // by rank: engines that must hear of its end
  };
  void tell(Port& port, std::uint32_t link, const wire::RankLost& lost) const;
  void remember(Child& child, int rank);
  bool read(std::uint32_t link, Child& child, int limit);
  bool read_zygote();
  void end_orphans() noexcept;
  void ended(const worker::ZygoteEvent& event);

  worker::Zygote zygote_;
  link::RankPageData& page_;
  Router& router_;
  std::unordered_map<std::uint32_t, std::unique_ptr<Child>> children_;
  std::vector<std::pair<std::uint32_t, Child*>> order_;  // what the loop walks over
  std::vector<wire::RankLost> lost_;
  std::uint32_t next_link_ = main_link + 1;
  std::uint32_t events_seen_ = 0;
};

}  // namespace rankpool::engine

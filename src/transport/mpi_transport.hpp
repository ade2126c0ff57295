// The transport over MPI: puts the parts together.
#pragma once

#include <boost/mpi/communicator.hpp>
#include <boost/mpi/environment.hpp>

#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "transport/backlog.hpp"
#include "transport/bulk_sender.hpp"
#include "transport/inbox.hpp"
#include "transport/one_sided.hpp"
#include "transport/outbox.hpp"
#include "transport/peers.hpp"
#include "transport/references.hpp"
#include "transport/shared_files.hpp"
#include "transport/transport.hpp"

namespace rankpool::transport {

/// A sink that throws ends the use of the transport, as an MpiError does.
class MpiTransport final : public Transport {
 public:
  MpiTransport(std::unique_ptr<boost::mpi::environment> environment, bool by_copy, bool windows, const Hello& mine,
               link::RankPage& page);
  ~MpiTransport() override;

  int rank() const override { return peers_.rank(); }
  int size() const override { return peers_.size(); }
  const Hello& hello(int rank) const override { return peers_.hello(rank); }
  bool same_host(int rank) const override { return peers_.same_host(rank); }
  bool all(bool here) override;
  int busy_workers_here() const override { return peers_.busy_workers_here(); }
  std::optional<int> ended_neighbour() const override { return peers_.ended_neighbour(); }

  void send(int to, wire::Header head, std::span<const std::byte> first, std::span<const std::byte> second,
            link::Slice slice) override;
  void open_window(std::byte* base, std::size_t size) override;
  bool has_window() const override { return window_ != nullptr; }
  void window_word(int rank, const wire::WordRequest& request, std::uint64_t ticket) override;
  void window_read(int rank, std::uint64_t offset, std::span<std::byte> into, std::uint64_t ticket) override;
  void window_write(int rank, std::uint64_t offset, std::span<const std::byte> from, std::uint64_t ticket) override;
  bool progress(FrameSink& sink) override;
  bool quiet() const override;
  bool pending() override;
  void lose(int rank) override;
  bool finish() override;

 private:
  // Everything that MPI may write to or read from while requests are open.
  struct Traffic {
    Traffic(MPI_Comm comm, int ranks);

    Outbox outbox;
    Inbox inbox;
    BulkSender bulk;
    Backlog backlog;
    References references;
  };

  OneSided& window();
  bool flush();
  void hold_lost();
  bool tell_losses(FrameSink& sink);
  bool meet();
  void abandon();
  bool progress_window(FrameSink& sink);
  bool receive(FrameSink& sink);
  void take_apart(const Inbox::Arrival& arrival, FrameSink& sink);
  void take_frame(int source, const Record& record, FrameSink& sink);

  std::unique_ptr<boost::mpi::environment> environment_;
  std::unique_ptr<boost::mpi::communicator> comm_;
  bool by_copy_;
  Peers peers_;
  SharedFiles shared_files_;
  bool windows_;
  std::unique_ptr<Traffic> traffic_;
  std::unique_ptr<OneSided> window_;
  std::vector<bool> lost_;
  std::vector<bool> ended_;  // those, and those whose frames cannot be read any more
  bool lost_any_ = false;
  std::vector<Lifeline::Loss> untold_;
};

}  // namespace rankpool::transport

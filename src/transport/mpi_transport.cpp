#include "transport/mpi_transport.hpp"

#include <boost/mpi/exception.hpp>

#include <sched.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <rankpool/errors.hpp>

#include "transport/mpi_check.hpp"
#include "transport/packet.hpp"
#include "transport/parameters.hpp"
#include "transport/shared_space.hpp"

namespace rankpool::transport {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto start_limit = 5min;
constexpr auto finish_limit = 5s;   // without anything moving
constexpr auto barrier_limit = 1s;  // after rank 0

std::unique_ptr<boost::mpi::communicator> own_communicator() {
  auto comm = std::make_unique<boost::mpi::communicator>(MPI_COMM_WORLD, boost::mpi::comm_duplicate);
  // MPI's default is to end the whole job at an error, before anybody can say what happened.
  check(MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return comm;
}

/// For the end of the job, when nobody is interested in frames any more.
class EndSink final : public FrameSink {
 public:
  EndSink(MpiTransport& transport, bool recovery) : transport_(transport), recovery_(recovery) {}

 private:
  void on_frame(const wire::Header&, std::span<const std::byte>, link::Slice) override {}
  void on_rank_down(int rank, bool) override {
    if (recovery_) transport_.lose(rank);
  }

  MpiTransport& transport_;
  bool recovery_;
};

/// Waits for `done()` while the others are served by `progress()`.
template <class Done, class Progress>
void wait_until(Done&& done, Progress&& progress, const std::string& what) {
  auto last_move = Clock::now();
  for (int idle = 0; !done();) {
    if (progress()) {
      idle = 0;
      last_move = Clock::now();
    } else if (Clock::now() - last_move > finish_limit) {
      throw MpiError("gave up waiting for " + what + ": nothing has moved for 5 s; has a rank died or not ended?");
    } else if (++idle < 200) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(50us);
    }
  }
}

}  // namespace

namespace {

/// Before the lines are made nobody would notice that a rank has died, and the others would wait for it inside MPI.
class StartLimit {
 public:
  explicit StartLimit(bool wanted) {
    if (!wanted) return;
    thread_ = std::jthread([](const std::stop_token& started) {
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any ended;
      if (ended.wait_for(lock, started, start_limit, [&] { return started.stop_requested(); })) return;
      std::fprintf(stderr, "rankpool: the job has not begun within 5 minutes (has a rank died?), so this rank ends\n");
      std::_Exit(1);
    });
  }

 private:
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<Transport> Transport::start(const Hello& mine, link::RankPage& page) {
  const StartLimit limit(mine.recovery != 0);
  const bool by_copy = segments_by_copy();
  const bool windows = windows_wanted();
  set_mpi_parameters();
  avoid_full_shared_space();
  // A write to the socket of a rank that has died would end this one before MPI can report it.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    auto environment = std::make_unique<boost::mpi::environment>(boost::mpi::threading::funneled, false);
    auto transport = std::make_unique<MpiTransport>(std::move(environment), by_copy, windows, mine, page);
    take_shared_space(transport->rank());
    return transport;
  } catch (const boost::mpi::exception& error) {
    throw MpiError(std::string("MPI cannot start: ") + error.what());
  }
}

MpiTransport::Traffic::Traffic(MPI_Comm comm, int ranks)
    : outbox(comm, ranks), inbox(comm, ranks), bulk(comm, ranks), backlog(comm, ranks), references(ranks) {}

MpiTransport::MpiTransport(std::unique_ptr<boost::mpi::environment> environment, bool by_copy, bool windows,
                           const Hello& mine, link::RankPage& page)
    : environment_(std::move(environment)),
      comm_(own_communicator()),
      by_copy_(by_copy),
      peers_(*comm_, mine, page),
      windows_(windows && !peers_.recovery()),
      traffic_(std::make_unique<Traffic>(*comm_, peers_.size())),
      lost_(static_cast<std::size_t>(peers_.size())),
      ended_(lost_) {
  shared_files_.unlink(*comm_);
}

// Without `finish` something went wrong. Requests are open, so their memory must stay; and a rank that finalized MPI
// now would leave the others waiting, while one that ends without makes mpirun end the job.
MpiTransport::~MpiTransport() {
  static_cast<void>(window_.release());
  static_cast<void>(traffic_.release());
  static_cast<void>(comm_.release());
  static_cast<void>(environment_.release());
}

bool MpiTransport::all(bool here) {
  const int mine = here ? 1 : 0;
  int least = 0;
  check(MPI_Allreduce(&mine, &least, 1, MPI_INT, MPI_MIN, *comm_), "MPI_Allreduce");
  return least != 0;
}

void MpiTransport::send(int to, wire::Header head, std::span<const std::byte> first, std::span<const std::byte> second,
                        link::Slice slice) {
  if (lost_.at(static_cast<std::size_t>(to))) return;
  head.body = first.size() + second.size();
  head.segment = slice ? slice.length : 0;
  if (head.body > wire::max_body) {
    throw std::length_error("a frame of " + std::to_string(head.body) + " bytes in line for rank " +
                            std::to_string(to) + ": more than 64 KiB must go into a segment");
  }
  auto kind = RecordKind::frame;
  if (head.segment != 0) {
    const bool by_reference = peers_.same_host(to) && !by_copy_ && slice.segment->has_descriptor();
    kind = by_reference ? RecordKind::frame_by_reference : RecordKind::frame_by_copy;
  }
  Packet& packet = traffic_->outbox.with_room(to, Packet::frame_bytes(kind, head.body));
  if (kind == RecordKind::frame_by_reference) {
    const SegmentReference reference = traffic_->references.add(to, std::move(slice));
    packet.append_frame(kind, head, first, second, &reference);
    return;
  }
  packet.append_frame(kind, head, first, second);
  if (kind == RecordKind::frame_by_copy) traffic_->bulk.add(to, std::move(slice));
}

void MpiTransport::open_window(std::byte* base, std::size_t size) {
  if (window_) throw std::logic_error("a job has one window");
  window_ = OneSided::open(*comm_, windows_, base, size);
}

OneSided& MpiTransport::window() {
  if (!window_) throw std::logic_error("this job has no window");
  return *window_;
}

void MpiTransport::window_word(int rank, const wire::WordRequest& request, std::uint64_t ticket) {
  window().word(rank, request, ticket);
}

void MpiTransport::window_read(int rank, std::uint64_t offset, std::span<std::byte> into, std::uint64_t ticket) {
  window().read(rank, offset, into, ticket);
}

void MpiTransport::window_write(int rank, std::uint64_t offset, std::span<const std::byte> from, std::uint64_t ticket) {
  window().write(rank, offset, from, ticket);
}

bool MpiTransport::flush() {
  const bool moved =
      traffic_->outbox.progress([this](int rank, bool started) { started ? peers_.ring(rank) : peers_.remind(rank); });
  return traffic_->bulk.progress() || moved;
}

bool MpiTransport::progress_window(FrameSink& sink) {
  return window_ &&
         window_->progress(sink, [this](int rank, bool started) { started ? peers_.ring(rank) : peers_.remind(rank); });
}

/// A send to a dead rank can take the sender down, so what is known now counts now.
void MpiTransport::hold_lost() {
  for (const Lifeline::Loss& loss : peers_.losses()) {
    traffic_->outbox.hold(loss.rank);
    traffic_->bulk.hold(loss.rank);
    untold_.push_back(loss);
  }
}

/// After what these ranks have sent before their end, as far as it has come.
bool MpiTransport::tell_losses(FrameSink& sink) {
  if (untold_.empty()) return false;
  for (const Lifeline::Loss& loss : std::exchange(untold_, {})) {
    if (!lost_[static_cast<std::size_t>(loss.rank)]) sink.on_rank_down(loss.rank, loss.silent);
  }
  return true;
}

bool MpiTransport::progress(FrameSink& sink) {
  peers_.alive();
  if (peers_.news()) hold_lost();
  bool moved = flush();
  moved |= progress_window(sink);
  if (receive(sink)) {
    moved = true;
    flush();  // answers and acknowledgements leave at once
  }
  return tell_losses(sink) || moved;
}

bool MpiTransport::receive(FrameSink& sink) {
  bool moved = traffic_->backlog.progress(sink);
  traffic_->inbox.look();
  while (const auto arrival = traffic_->inbox.take()) {
    take_apart(*arrival, sink);
    traffic_->inbox.recycle();
    moved = true;
  }
  return moved;
}

void MpiTransport::take_apart(const Inbox::Arrival& arrival, FrameSink& sink) {
  PacketReader reader(arrival.packet, arrival.source);
  for (Record record; reader.next(record);) {
    if (ended_[static_cast<std::size_t>(arrival.source)]) return;
    if (record.kind == RecordKind::ack) {
      traffic_->references.acknowledge(arrival.source, record.ack);
    } else {
      take_frame(arrival.source, record, sink);
    }
  }
}

void MpiTransport::take_frame(int source, const Record& record, FrameSink& sink) {
  if (record.kind == RecordKind::frame_by_copy) {
    traffic_->backlog.expect(source, record.head, record.body);
    return;
  }
  link::Slice slice;
  if (record.kind == RecordKind::frame_by_reference) {
    // Opened at once even if the frame must wait, so that the sender need not keep it.
    const SegmentReference& reference = record.reference;
    try {
      slice = link::spare_descriptor(
          {open_reference(source, peers_.hello(source).pid, reference), reference.offset, reference.length});
    } catch (const MpiError&) {
      if (!peers_.recovery() || !peers_.has_ended(source)) throw;
      ended_[static_cast<std::size_t>(source)] = true;  // what it sent has gone with it; its line will tell
      return;
    }
    traffic_->outbox.with_room(source, Packet::ack_bytes).append_ack(reference.token);
  }
  if (traffic_->backlog.holds(source)) {
    traffic_->backlog.hold(source, record.head, record.body, std::move(slice));
  } else {
    sink.on_frame(record.head, record.body, std::move(slice));
  }
}

bool MpiTransport::quiet() const {
  return traffic_->outbox.idle() && traffic_->bulk.idle() && traffic_->backlog.idle() && (!window_ || window_->idle());
}

bool MpiTransport::pending() { return peers_.news() || traffic_->inbox.pending(); }

void MpiTransport::lose(int rank) {
  if (rank == peers_.rank()) throw std::invalid_argument("a rank cannot lose itself");
  if (lost_.at(static_cast<std::size_t>(rank))) return;
  lost_[static_cast<std::size_t>(rank)] = true;
  ended_[static_cast<std::size_t>(rank)] = true;
  lost_any_ = true;
  peers_.give_up(rank);
  traffic_->outbox.lose(rank);
  traffic_->bulk.lose(rank);
  traffic_->backlog.lose(rank);
  traffic_->references.lose(rank);
  traffic_->inbox.lose(rank);
}

/// The barrier of the end. False if not all can come to it.
bool MpiTransport::meet() {
  EndSink sink(*this, peers_.recovery());
  std::optional<Clock::time_point> without_first;
  const auto broken = [&] {
    if (lost_any_ || (peers_.recovery() && peers_.news())) return true;
    if (!peers_.recovery() || peers_.up(0)) return false;
    // Rank 0 has been here and gone, or has gone without: for a reason that may be unknown here.
    if (!without_first) without_first = Clock::now();
    return Clock::now() - *without_first > barrier_limit;
  };
  if (broken()) return false;
  MPI_Request barrier = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(*comm_, &barrier), "MPI_Ibarrier");
  int all_here = 0;
  wait_until(
      [&] {
        if (all_here == 0) check(MPI_Test(&barrier, &all_here, MPI_STATUS_IGNORE), "MPI_Test");
        return (all_here != 0 && quiet()) || broken();
      },
      [&] { return progress(sink); }, "the other ranks to end");
  return all_here != 0 && quiet();
}

/// The end without those who are lost: nobody goes before rank 0, which has heard of everybody.
void MpiTransport::abandon() {
  EndSink sink(*this, peers_.recovery());
  const auto deadline = Clock::now() + finish_limit;
  while (peers_.rank() != 0 && peers_.up(0) && Clock::now() < deadline) {
    if (!progress(sink)) std::this_thread::sleep_for(1ms);
  }
  peers_.hang_up();
}

bool MpiTransport::finish() {
  EndSink sink(*this, peers_.recovery());
  // Once every segment sent by reference is open at its receiver, this process may go.
  wait_until([&] { return (quiet() && traffic_->references.empty()) || (peers_.recovery() && !peers_.up(0)); },
             [&] { return progress(sink); }, "the last frames to be taken");
  if (!meet()) {
    abandon();
    return false;
  }
  peers_.hang_up();
  if (window_) window_->close();
  window_.reset();
  traffic_->inbox.close();
  shared_files_.restore();
  try {
    traffic_.reset();
    comm_.reset();
    environment_.reset();
  } catch (const boost::mpi::exception& error) {
    throw MpiError(std::string("MPI cannot end: ") + error.what());
  }
  return true;
}

}  // namespace rankpool::transport

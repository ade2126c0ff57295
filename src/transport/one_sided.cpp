#include "transport/one_sided.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "transport/mpi_check.hpp"

namespace rankpool::transport {

namespace {

using Clock = std::chrono::steady_clock;
using wire::WordOp;
using wire::WordType;

constexpr std::size_t max_open = 8;               // operations under way at a time
constexpr std::size_t piece_bytes = 1024 * 1024;  // of a read or a write
constexpr std::size_t proof_bytes = 8;            // at the end of the window
constexpr auto proof_limit = std::chrono::seconds(2);

MPI_Datatype datatype(WordType type) {
  switch (type) {
    case WordType::i8:
      return MPI_INT8_T;
    case WordType::u8:
      return MPI_UINT8_T;
    case WordType::i16:
      return MPI_INT16_T;
    case WordType::u16:
      return MPI_UINT16_T;
    case WordType::i32:
      return MPI_INT32_T;
    case WordType::u32:
      return MPI_UINT32_T;
    case WordType::i64:
      return MPI_INT64_T;
    case WordType::u64:
      return MPI_UINT64_T;
    case WordType::f32:
      return MPI_FLOAT;
    case WordType::f64:
      return MPI_DOUBLE;
  }
  throw std::invalid_argument("a window word of unknown type " + std::to_string(static_cast<unsigned>(type)));
}

/// MPI compares integers only.
MPI_Datatype bits_of(WordType type) {
  switch (wire::size_of(type)) {
    case 1:
      return MPI_UINT8_T;
    case 2:
      return MPI_UINT16_T;
    case 4:
      return MPI_UINT32_T;
    default:
      return MPI_UINT64_T;
  }
}

MPI_Op operation_of(WordOp op) {
  switch (op) {
    case WordOp::load:
      return MPI_NO_OP;
    case WordOp::store:
    case WordOp::exchange:
      return MPI_REPLACE;
    case WordOp::fetch_add:
      return MPI_SUM;
    case WordOp::compare_exchange:
      break;
  }
  throw std::invalid_argument("an unknown operation on a window word: " + std::to_string(static_cast<unsigned>(op)));
}

bool agreed(MPI_Comm comm, bool here) {
  const int mine = here ? 1 : 0;
  int all = 0;
  check(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, comm), "MPI_Allreduce");
  return all != 0;
}

/// Takes the answer of one operation.
class Answer final : public FrameSink {
 public:
  std::optional<std::uint64_t> old;

 private:
  void on_frame(const wire::Header&, std::span<const std::byte>, link::Slice) override {}
  void on_window(std::uint64_t, std::uint64_t value) override { old = value; }
};

}  // namespace

OneSided::OneSided(MPI_Comm comm, std::size_t size) : size_(size) {
  int ranks = 0;
  check(MPI_Comm_rank(comm, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm, &ranks), "MPI_Comm_size");
  busy_.resize(static_cast<std::size_t>(ranks));
}

OneSided::~OneSided() = default;

std::unique_ptr<OneSided> OneSided::open(MPI_Comm comm, bool wanted, std::byte* base, std::size_t size) {
  if (size < proof_bytes || size % proof_bytes != 0) {
    throw std::invalid_argument("a window of " + std::to_string(size) +
                                " bytes: it must be a multiple of 8, and not 0");
  }
  if (!agreed(comm, wanted)) return nullptr;
  std::unique_ptr<OneSided> window(new OneSided(comm, size));
  const char* failed = "cannot be made";
  if (agreed(comm, window->create(comm, base))) {
    failed = "do not answer";
    if (agreed(comm, window->prove())) return window;
  }
  if (window->rank_ == 0) {
    std::fprintf(stderr,
                 "rankpool: MPI's one-sided windows %s here; locks and shared values use messages instead "
                 "(RANKPOOL_WINDOW=messages says so from the start)\n",
                 failed);
  }
  // Freeing it would wait for what does not work; and requests may be open, whose memory must stay.
  static_cast<void>(window.release());
  return nullptr;
}

bool OneSided::create(MPI_Comm comm, std::byte* base) {
  if (MPI_Win_create(base, static_cast<MPI_Aint>(size_), 1, MPI_INFO_NULL, comm, &window_) != MPI_SUCCESS) return false;
  return MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN) == MPI_SUCCESS &&
         MPI_Win_lock_all(MPI_MODE_NOCHECK, window_) == MPI_SUCCESS;
}

/// Adds to and swaps a word of the next rank, which nobody else touches, and puts it back. The other ranks are inside
/// MPI meanwhile: here, or where they wait for us to agree.
bool OneSided::prove() {
  const auto deadline = Clock::now() + proof_limit;
  const int next = (rank_ + 1) % static_cast<int>(busy_.size());
  const auto ask = [&](WordOp op, std::uint64_t operand, std::uint64_t expected) {
    Answer answer;
    word(next, {size_ - proof_bytes, WordType::u64, op, operand, expected}, 0);
    while (!answer.old && Clock::now() < deadline) {
      if (!progress(answer, [](int, bool) {})) ::sched_yield();
    }
    return answer.old;
  };
  constexpr std::uint64_t step = 0x0123456789abcdef;
  try {
    const auto first = ask(WordOp::fetch_add, step, 0);
    if (!first) return false;
    return ask(WordOp::fetch_add, ~step + 1, 0) == *first + step &&
           ask(WordOp::compare_exchange, *first ^ step, *first) == *first &&
           ask(WordOp::compare_exchange, step, *first) == (*first ^ step) &&
           ask(WordOp::exchange, *first, 0) == (*first ^ step);
  } catch (const std::exception&) {
    return false;
  }
}

void OneSided::check_place(int rank, std::uint64_t offset, std::size_t bytes) const {
  if (rank < 0 || static_cast<std::size_t>(rank) >= busy_.size()) {
    throw std::out_of_range("no window at rank " + std::to_string(rank));
  }
  if (offset > size_ || bytes > size_ - offset) {
    throw std::out_of_range(std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                            " are beyond the end of the window of rank " + std::to_string(rank) + " (" +
                            std::to_string(size_) + " bytes)");
  }
}

void OneSided::word(int rank, const wire::WordRequest& request, std::uint64_t ticket) {
  check_place(rank, request.offset, wire::size_of(request.type));
  static_cast<void>(datatype(request.type));
  if (request.op != WordOp::compare_exchange) static_cast<void>(operation_of(request.op));
  if (request.offset % wire::size_of(request.type) != 0) {
    throw std::invalid_argument("a window word at " + std::to_string(request.offset) +
                                ", which is no multiple of its size");
  }
  auto operation = std::make_unique<Operation>();
  operation->rank = rank;
  operation->offset = request.offset;
  operation->ticket = ticket;
  operation->word = request;
  operation->bytes = wire::size_of(request.type);
  queue_.push_back(std::move(operation));
}

void OneSided::read(int rank, std::uint64_t offset, std::span<std::byte> into, std::uint64_t ticket) {
  queue_pieces(rank, offset, into.data(), nullptr, into.size(), ticket);
}

void OneSided::write(int rank, std::uint64_t offset, std::span<const std::byte> from, std::uint64_t ticket) {
  queue_pieces(rank, offset, nullptr, from.data(), from.size(), ticket);
}

void OneSided::queue_pieces(int rank, std::uint64_t offset, std::byte* into, const std::byte* from, std::size_t bytes,
                            std::uint64_t ticket) {
  check_place(rank, offset, bytes);
  if (bytes == 0) {
    done_.push_back({ticket, 0});
    return;
  }
  const auto transfer = std::make_shared<Transfer>(Transfer{ticket, (bytes + piece_bytes - 1) / piece_bytes});
  for (std::size_t at = 0; at < bytes; at += piece_bytes) {
    auto operation = std::make_unique<Operation>();
    operation->rank = rank;
    operation->offset = offset + at;
    operation->transfer = transfer;
    operation->into = into != nullptr ? into + at : nullptr;
    operation->from = from != nullptr ? from + at : nullptr;
    operation->bytes = std::min(piece_bytes, bytes - at);
    queue_.push_back(std::move(operation));
  }
}

bool OneSided::start() {
  bool moved = false;
  while (!queue_.empty() && active_.size() < max_open && !waits_for_another(*queue_.front())) {
    std::unique_ptr<Operation> operation = std::move(queue_.front());
    queue_.pop_front();
    Busy& busy = busy_[static_cast<std::size_t>(operation->rank)];
    const MPI_Request request = operation->transfer ? start_piece(*operation) : start_word(*operation);
    active_.push_back(operation.get());
    under_way_.add(request, std::move(operation));
    ++busy.open;
    busy.started = true;
    moved = true;
  }
  return moved;
}

bool OneSided::waits_for_another(const Operation& next) const {
  return std::any_of(active_.begin(), active_.end(), [&](const Operation* one) {
    return one->rank == next.rank && one->offset < next.offset + next.bytes && next.offset < one->offset + one->bytes;
  });
}

MPI_Request OneSided::start_word(Operation& operation) {
  const wire::WordRequest& word = operation.word;
  const auto at = static_cast<MPI_Aint>(word.offset);
  MPI_Request request = MPI_REQUEST_NULL;
  if (word.op != WordOp::compare_exchange) {
    const MPI_Datatype type = datatype(word.type);
    check(MPI_Rget_accumulate(&word.operand, 1, type, &operation.old, 1, type, operation.rank, at, 1, type,
                              operation_of(word.op), window_, &request),
          "MPI_Rget_accumulate");
    return request;
  }
  // There is no compare-and-swap with a request, and waiting for one would keep this rank from serving others, or for
  // long if the target sleeps. So a load goes behind it, which drives it and usually comes back after it.
  const MPI_Datatype bits = bits_of(word.type);
  operation.unset = (++swaps_ * 0x9e3779b97f4a7c15u) >> (64 - 8 * operation.bytes);
  operation.old = operation.unset;
  check(MPI_Compare_and_swap(&word.operand, &word.expected, &operation.old, bits, operation.rank, at, window_),
        "MPI_Compare_and_swap");
  check(MPI_Rget_accumulate(nullptr, 0, bits, &operation.marker, 1, bits, operation.rank, at, 1, bits, MPI_NO_OP,
                            window_, &request),
        "MPI_Rget_accumulate");
  return request;
}

MPI_Request OneSided::start_piece(Operation& operation) {
  const bool whole_words = operation.offset % 8 == 0 && operation.bytes % 8 == 0;
  const MPI_Datatype type = whole_words ? MPI_UINT64_T : MPI_BYTE;
  const int count = static_cast<int>(whole_words ? operation.bytes / 8 : operation.bytes);
  const auto at = static_cast<MPI_Aint>(operation.offset);
  MPI_Request request = MPI_REQUEST_NULL;
  if (operation.into != nullptr) {
    check(MPI_Rget_accumulate(nullptr, 0, type, operation.into, count, type, operation.rank, at, count, type, MPI_NO_OP,
                              window_, &request),
          "MPI_Rget_accumulate");
  } else {
    // What was there before comes back, which is what proves that it has been overwritten: the request of a put is
    // complete when the bytes have left.
    operation.overwritten.reset(new std::byte[operation.bytes]);
    check(MPI_Rget_accumulate(operation.from, count, type, operation.overwritten.get(), count, type, operation.rank, at,
                              count, type, MPI_REPLACE, window_, &request),
          "MPI_Rget_accumulate");
  }
  return request;
}

bool OneSided::collect() {
  return under_way_.collect([this](std::unique_ptr<Operation>& operation, const MPI_Status&) { complete(*operation); });
}

void OneSided::complete(Operation& operation) {
  std::erase(active_, &operation);
  --busy_[static_cast<std::size_t>(operation.rank)].open;
  if (operation.transfer) {
    if (--operation.transfer->pieces == 0) done_.push_back({operation.transfer->ticket, 0});
    return;
  }
  if (operation.word.op == WordOp::compare_exchange) {
    if (operation.old != operation.unset) {  // it has been answered: there is nothing left to wait for
      check(MPI_Win_flush_local(operation.rank, window_), "MPI_Win_flush_local");
    } else {
      check(MPI_Win_flush(operation.rank, window_), "MPI_Win_flush");
    }
  }
  done_.push_back({operation.ticket, operation.old});
}

bool OneSided::deliver(FrameSink& sink) {
  const std::vector<Done> done = std::exchange(done_, {});
  for (const Done& one : done) sink.on_window(one.ticket, one.old);
  return !done.empty();
}

void OneSided::close() {
  check(MPI_Win_unlock_all(window_), "MPI_Win_unlock_all");
  check(MPI_Win_free(&window_), "MPI_Win_free");
}

}  // namespace rankpool::transport

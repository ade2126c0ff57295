#include "client/queue.hpp"

#include <cstring>
#include <utility>

#include <rankpool/detail/queue_handle.hpp>
#include <rankpool/errors.hpp>

#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::client {
namespace {

using wire::QueueOp;
using wire::Status;

constexpr std::uint32_t number_of(QueueOp operation) noexcept { return static_cast<std::uint32_t>(operation); }

/// Is there no time to wait at all?
bool is_over(RemoteObject::Deadline deadline) { return deadline && *deadline <= link::UserLink::Clock::now(); }

/// Lists the handles in an item behind it, for the home.
void append_cargo(detail::Buffer& item, const detail::Buffer::Cargo& cargo) {
  for (const wire::QueueCargo& handle : RemoteObject::pins_of(cargo)) item.append(&handle, sizeof handle);
}

/// The next of several items that have their lengths in front.
std::span<const std::byte> next_item(std::span<const std::byte>& items) {
  const auto length = wire::take<wire::QueueLength>(items);
  if (length > items.size()) throw wire::BadFrame("an item of a queue is longer than the frame it came in");
  const auto item = items.first(length);
  items = items.subspan(length);
  return item;
}

}  // namespace

Queue::Queue(std::shared_ptr<Client> client, wire::ObjectId id, detail::Reader* saved)
    : RemoteObject(std::move(client), wire::ObjectType::queue, id) {
  if (saved != nullptr) maxsize_ = saved->get<std::uint64_t>();
}

Queue::~Queue() {
  if (!slot_) return;
  try {
    if (lent_) {
      const link::LeaseState last = word().revoke(generation_);
      tell(number_of(QueueOp::lease_back), wire::bytes_of(wire::QueueLeaseBack{*slot_, 0, last.bits}));
    }
  } catch (...) {
    // the engine is gone, and the queue with it
  }
  client().link().give_lease_slot(*slot_);
}

std::shared_ptr<Queue> Queue::make(std::uint64_t maxsize) {
  const wire::QueueMake options{maxsize};
  auto queue = std::static_pointer_cast<Queue>(make_object(wire::ObjectType::queue, wire::bytes_of(options)));
  queue->maxsize_ = maxsize;
  return queue;
}

void Queue::save(detail::Buffer& out) const { out.append(&maxsize_, sizeof maxsize_); }

void Queue::on_note(std::uint32_t, link::Incoming&) { shut_ = true; }

void Queue::throw_closed(const char* when) const {
  throw Closed(name() + ": it was shut down" + when + "; stop using it, or make another queue");
}

bool Queue::put(detail::Buffer& item, Deadline deadline) {
  client().link().look();
  if (shut_.load(std::memory_order_relaxed)) throw_closed(" and takes no more items");
  const detail::Buffer::Cargo cargo = item.take_cargo();
  announce(cargo);
  append_cargo(item, cargo);

  wire::QueuePut how{.no_wait = 0, .cargo = static_cast<std::uint32_t>(cargo.size())};
  if (maxsize_ == 0 && put_before_.load(std::memory_order_relaxed)) {
    tell(number_of(QueueOp::put), wire::bytes_of(how), &item);
    return true;
  }
  if (is_over(deadline)) {
    how.no_wait = 1;
    deadline.reset();
  }
  const auto reply = ask_until(deadline, number_of(QueueOp::put), wire::bytes_of(how), &item);
  if (!reply || reply->status == Status::full) return false;
  if (reply->status == Status::closed) throw_closed(" and takes no more items");
  put_before_ = true;
  return true;
}

/// Takes the next item that is lent, if it was not called back. Under the mutex.
std::optional<Queue::Item> Queue::take_leased() {
  if (rest_.empty()) return std::nullopt;
  if (!word().take()) {
    rest_ = {};
    keep_.reset();
    return std::nullopt;
  }
  Item item{keep_, next_item(rest_)};
  if (rest_.empty()) keep_.reset();
  return item;
}

/// What to say with the next question: what was taken from the last lease, and where the next one can be noted. Only
/// one thread at a time can be lent something. Under the mutex.
wire::QueueGet Queue::offer() {
  wire::QueueGet wish{};
  if (asking_) return wish;
  if (!slot_) slot_ = client().link().take_lease_slot();
  if (!slot_) return wish;
  wish.slot = *slot_;
  wish.generation = generation_ = client().new_token();
  wish.last = word().begin(generation_).bits;
  lent_ = false;
  asking_ = true;
  return wish;
}

std::optional<Queue::Item> Queue::get(Deadline deadline) {
  wire::QueueGet wish;
  {
    const std::lock_guard lock(mutex_);
    if (auto item = take_leased()) return item;
    wish = offer();
  }
  const struct Asked {
    ~Asked() {
      const std::lock_guard lock(queue.mutex_);
      if (offered) queue.asking_ = false;
    }
    Queue& queue;
    bool offered;
  } asked{*this, wish.generation != 0};
  if (is_over(deadline)) {
    wish.no_wait = 1;
    deadline.reset();
  }
  auto reply = ask_until(deadline, number_of(QueueOp::get), wire::bytes_of(wish));
  if (!reply || reply->status == Status::no) return std::nullopt;
  if (reply->status == Status::closed) throw_closed(" and has no more items");
  return open(std::move(reply->payload));
}

/// Takes an answer apart. The thread is the one that was lent what is in it.
Queue::Item Queue::open(link::Payload&& payload) {
  const auto keep = std::make_shared<const link::Payload>(std::move(payload));
  std::span<const std::byte> items = keep->view().read();
  if (keep->view().slice || wire::take<wire::QueueItem>(items).leased == 0) return {keep, items};
  const auto first = next_item(items);
  const std::lock_guard lock(mutex_);
  lent_ = true;
  rest_ = items;
  keep_ = keep;
  return {keep, first};
}

bool Queue::leased_at_hand() {
  const std::lock_guard lock(mutex_);
  return !rest_.empty() && !word().state().revoked();
}

std::uint64_t Queue::size() {
  const Reply reply = ask(number_of(QueueOp::look));
  std::span<const std::byte> body = reply.bytes();
  return wire::take<wire::QueueState>(body).size;
}

bool Queue::empty() { return !leased_at_hand() && size() == 0; }
void Queue::shut_down(bool now) { ask(number_of(now ? QueueOp::shut_down_now : QueueOp::shut_down)); }
void Queue::task_done() { ask(number_of(QueueOp::task_done)); }
bool Queue::join(Deadline deadline) { return ask_until(deadline, number_of(QueueOp::join)).has_value(); }

}  // namespace rankpool::client

namespace rankpool::detail {
namespace {

client::Queue& queue_of(const ObjectPtr& object) noexcept { return static_cast<client::Queue&>(*object); }

/// Ready as soon as a `get` would not have to wait.
class QueueSource final : public WaitSource {
 public:
  explicit QueueSource(std::shared_ptr<client::Queue> queue) : queue_(std::move(queue)) {}
  bool ready() const noexcept override {
    return has_items_ || queue_->leased_at_hand() || (watch_ && watch_->answered());
  }
  void begin() override {
    has_items_ = has_items();
    if (!has_items_) watch_.emplace(queue_, static_cast<std::uint32_t>(wire::QueueOp::watch));
  }
  void end() noexcept override { watch_.reset(); }
  bool confirm() override { return ready() || has_items(); }

 private:
  bool has_items() const {
    try {
      return queue_->is_shut() || !queue_->empty();
    } catch (const RankLost&) {
      return true;  // `get` says so at once
    }
  }

  std::shared_ptr<client::Queue> queue_;
  bool has_items_ = false;  // when the waiting began: another process may take them meanwhile
  std::optional<client::Question> watch_;
};

constexpr std::size_t most_items = ~std::size_t{0} / 2;  // a limit above is a negative number that was converted

}  // namespace

QueueHandle::QueueHandle(std::size_t maxsize) : Handle(client::Queue::make(maxsize > most_items ? 0 : maxsize)) {}

void QueueHandle::check_open() const {
  if (!is_closed()) return;
  throw Closed(object()->name() + ": this handle was closed; use another handle of the queue");
}

bool QueueHandle::put_item(Buffer& item, Deadline deadline) const { return queue_of(object()).put(item, deadline); }

std::optional<QueueHandle::Item> QueueHandle::get_item(Deadline deadline) const {
  check_open();
  auto item = queue_of(object()).get(deadline);
  if (!item) return std::nullopt;
  return Item{std::move(item->keep), item->bytes};
}

std::size_t QueueHandle::qsize() const {
  check_open();
  return queue_of(object()).size();
}

bool QueueHandle::empty() const {
  check_open();
  return queue_of(object()).empty();
}

bool QueueHandle::full() const {
  check_open();
  return queue_of(object()).full();
}

void QueueHandle::shutdown(bool immediate) const {
  check_open();
  queue_of(object()).shut_down(immediate);
}

void QueueHandle::finish_one() const {
  check_open();
  queue_of(object()).task_done();
}

bool QueueHandle::join_until(Deadline deadline) const {
  check_open();
  return queue_of(object()).join(deadline);
}

std::shared_ptr<WaitSource> QueueHandle::wait_source() const {
  check_open();
  return std::make_shared<QueueSource>(std::static_pointer_cast<client::Queue>(object()));
}

void QueueHandle::throw_full() const {
  throw Full(object()->name() + ": it is full: nobody has got an item in the time given; put again, or wait longer");
}

void QueueHandle::throw_empty() const {
  throw Empty(object()->name() + ": it is empty: nobody has put an item in the time given; get again, or wait longer");
}

}  // namespace rankpool::detail

#include "client/pipe_end.hpp"

#include <string_view>
#include <utility>

#include <rankpool/errors.hpp>

#include "wire/messages.hpp"

namespace rankpool::client {
namespace {

using wire::PipeNote;
using wire::PipeOp;

// A quarter of what the home sends ahead, and less: it never has to wait for this process to say so.
constexpr std::uint64_t told_messages = 64;
constexpr std::uint64_t told_bytes = 256 * 1024;
// As much may be under way before a sender asks whether it is read at all.
constexpr std::uint64_t unasked_bytes = 1024 * 1024;

std::uint32_t code(PipeOp operation) { return static_cast<std::uint32_t>(operation); }

}  // namespace

std::string_view PipeEnd::Message::type_name() const {
  const auto bytes = payload.view().read().first(head.name_bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> PipeEnd::Message::value() const {
  const auto bytes = payload.view().read();
  return bytes.subspan(head.name_bytes, bytes.size() - head.name_bytes - head.objects * sizeof(wire::Pin));
}

PipeEnd::PipeEnd(std::shared_ptr<Client> client, wire::ObjectId id, detail::Reader* saved)
    : RemoteObject(std::move(client), wire::ObjectType::pipe_end, id) {
  if (saved != nullptr) saved->read(&nature_, sizeof nature_);
}

void PipeEnd::save(detail::Buffer& out) const { out.append(&nature_, sizeof nature_); }

void PipeEnd::update_ready() noexcept {
  ready_.store(state_ != State::owned || !inbox_.empty() || (started_ && peer_closed_ && consumed_ >= end_),
               std::memory_order_release);
}

/// To be called with the lock held.
wire::PipeConsumed PipeEnd::report_consumed() noexcept {
  told_ = consumed_;
  untold_bytes_ = 0;
  return {consumed_};
}

void PipeEnd::own() {
  wire::PipeOwn own;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::owned;
    own.turn = ++turn_;
    started_ = peer_closed_ = asked_ = false;
    consumed_ = told_ = untold_bytes_ = sent_bytes_ = 0;
    inbox_.clear();
    if (lost()) end_here();
    update_ready();
  }
  post(code(PipeOp::own), wire::bytes_of(own));
}

void PipeEnd::on_home_lost() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::owned) return;
  end_here();
  update_ready();
}

/// No message comes any more. To be called with the lock held.
void PipeEnd::end_here() noexcept {
  started_ = peer_closed_ = true;
  end_ = consumed_ + inbox_.size();
}

/// Ends the use of it here, and of threads that wait for it.
void PipeEnd::set_state(State state) {
  {
    const std::lock_guard lock(mutex_);
    state_ = state;
    inbox_.clear();
    update_ready();
  }
  if (!Client::reading()) client().link().wake();
}

void PipeEnd::leave() {
  wire::PipeConsumed consumed;
  {
    const std::lock_guard lock(mutex_);
    consumed = report_consumed();
  }
  set_state(State::away);
  if (!lost()) tell(code(PipeOp::leave), wire::bytes_of(consumed));
}

void PipeEnd::close() {
  set_state(State::closed);
  if (Client::reading()) {
    post(code(PipeOp::close));
    return;
  }
  try {
    ask(code(PipeOp::close));
  } catch (const RankLost&) {
    // then it is closed as well
  }
}

void PipeEnd::throw_not_owned() const {
  throw Closed(name() + (state_ == State::closed ? ": this end of the pipe was closed"
                                                 : ": this end of the pipe was moved to another process"));
}

void PipeEnd::throw_broken() const {
  throw BrokenPipe(name() +
                   (lost() ? client().host_of_lost(id().rank) + ": its home has died with that rank"
                           : ": the other end of the pipe is closed") +
                   ", nobody would read this message");
}

void PipeEnd::check_peer() {
  client().link().look();
  const std::lock_guard lock(mutex_);
  if (state_ != State::owned) throw_not_owned();
  if (peer_closed_) throw_broken();
}

bool PipeEnd::must_ask(std::uint64_t bytes) const noexcept { return !asked_ || sent_bytes_ + bytes > unasked_bytes; }

bool PipeEnd::wait_for_room(Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (!must_ask(0)) return true;
  }
  try {
    const auto answer = ask_until(deadline, code(PipeOp::room));
    if (!answer) return false;
    if (answer->status == wire::Status::closed) throw_broken();
  } catch (const RankLost&) {
    throw_broken();
  }
  const std::lock_guard lock(mutex_);
  asked_ = true;
  sent_bytes_ = 0;
  return true;
}

void PipeEnd::send(wire::PipeMessage head, detail::Buffer& message, bool wait) {
  const auto cargo = message.take_cargo();
  for (const wire::Pin& pin : pins_of(cargo)) message.append(&pin, sizeof pin);
  head.objects = static_cast<std::uint32_t>(cargo.size());
  bool question = false;
  {
    const std::lock_guard lock(mutex_);
    question = wait && must_ask(message.size());
    if (question) {
      asked_ = true;
      sent_bytes_ = 0;
    } else {
      sent_bytes_ += message.size();
    }
    // an end that has just been sent over itself belongs to whoever receives it
    head.count = state_ == State::owned ? report_consumed().count : 0;
  }
  announce(cargo);
  try {
    if (!question) return tell(code(PipeOp::send), wire::bytes_of(head), &message);
    if (ask(code(PipeOp::send), wire::bytes_of(head), &message).status != wire::Status::closed) return;
  } catch (const RankLost&) {
    // nobody reads it either
  }
  throw_broken();
}

bool PipeEnd::confirm_ready() {
  if (ready()) return true;
  wire::PipeConsumed consumed;
  {
    const std::lock_guard lock(mutex_);
    consumed = report_consumed();
  }
  try {
    ask(code(PipeOp::sync), wire::bytes_of(consumed));
  } catch (const RankLost&) {
    // that has made it ready
  }
  return ready();
}

bool PipeEnd::wait_readable(Deadline deadline) {
  return client().link().wait([this] { return ready(); }, deadline) || confirm_ready();
}

std::optional<PipeEnd::Message> PipeEnd::take(Deadline deadline, const std::function<void(const Message&)>& check) {
  for (;;) {
    if (!wait_readable(deadline)) return std::nullopt;
    std::unique_lock lock(mutex_);
    if (state_ != State::owned) throw_not_owned();
    if (inbox_.empty()) {
      if (!ready()) continue;  // another thread was faster
      throw EndOfStream(name() +
                        (lost() ? client().host_of_lost(id().rank) + ": its home has died with that rank"
                                : ": the other end of the pipe is closed") +
                        ", and all that has come was read");
    }
    check(inbox_.front());
    Message message = std::move(inbox_.front());
    inbox_.pop_front();
    ++consumed_;
    untold_bytes_ += message.payload.view().size();
    update_ready();
    // The handles in a message are this process's from here on, whatever becomes of it: their home must not give them
    // up once more.
    const bool tell_home =
        consumed_ - told_ >= told_messages || untold_bytes_ >= told_bytes || message.head.objects != 0;
    if (!tell_home) return message;
    const wire::PipeConsumed consumed = report_consumed();
    lock.unlock();
    post(code(PipeOp::consumed), wire::bytes_of(consumed));
    return message;
  }
}

void PipeEnd::on_note(std::uint32_t what, link::Incoming& in) {
  std::span<const std::byte> body = in.body;
  const std::lock_guard lock(mutex_);
  if (static_cast<PipeNote>(what) == PipeNote::start) {
    const auto start = wire::take<wire::PipeStart>(body);
    if (start.turn != turn_ || state_ != State::owned) return;
    started_ = true;
    consumed_ = told_ = start.first;
    return update_ready();
  }
  if (state_ != State::owned || !started_) return;  // from an earlier turn
  switch (static_cast<PipeNote>(what)) {
    case PipeNote::message: {
      const auto head = wire::take<wire::PipeMessage>(body);
      const link::PayloadView payload{body, std::move(in.slice)};
      if (head.name_bytes + std::uint64_t{head.objects} * sizeof(wire::Pin) > payload.size())
        throw wire::BadFrame("a message of a pipe is shorter than it says");
      inbox_.push_back({head, link::Payload(payload)});
      break;
    }
    case PipeNote::peer_closed:
      peer_closed_ = true;
      end_ = wire::take<wire::PipeEndNote>(body).count;
      break;
    case PipeNote::taken:
      state_ = State::taken;
      inbox_.clear();
      break;
    default:
      throw wire::BadFrame("an end of a pipe was sent an unknown note");
  }
  update_ready();
}

}  // namespace rankpool::client

#include "client/shared.hpp"

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/detail/type_name.hpp>
#include <rankpool/errors.hpp>

#include "client/journal_format.hpp"
#include "wire/containers.hpp"
#include "wire/shared.hpp"

namespace rankpool::client {

namespace {

struct Copies {
  using Key = std::pair<std::int32_t, std::uint64_t>;
  std::mutex mutex;
  std::map<Key, std::shared_ptr<SharedCopy>> all;
};
Copies& copies() {
  static auto* const instance = new Copies;  // handles in static objects outlive every other static object
  return *instance;
}

}  // namespace

std::shared_ptr<SharedCopy> SharedCopy::find(const std::shared_ptr<Client>& client, const wire::ObjectId& id) {
  const std::lock_guard lock(copies().mutex);
  std::shared_ptr<SharedCopy>& known = copies().all[{id.rank, id.number}];
  if (known && known->client_.lock() == client) return known;
  known = std::make_shared<SharedCopy>(client, id);
  client->add_weak(known->note_token_, known);
  return known;
}

SharedCopy::SharedCopy(const std::shared_ptr<Client>& client, const wire::ObjectId& id)
    : client_(client), id_(id), note_token_(client->new_token()) {}

const void* SharedCopy::value(const std::type_info& type) const {
  const void* const here = ready_.load(std::memory_order_acquire);
  if (here != nullptr && *type_ != type)
    throw TypeMismatch("a shared value of rank " + std::to_string(id_.rank) + " is used as " +
                       detail::demangle(type_->name()) + " in this process, and cannot be read as " +
                       detail::demangle(type.name()));
  return here;
}

void SharedCopy::put(std::shared_ptr<const Reply> reply, detail::DecodeShared decode, const std::type_info& type,
                     Client& client) {
  const std::lock_guard lock(mutex_);
  if (ready_.load(std::memory_order_relaxed) != nullptr) return;  // another thread was faster
  const wire::SharedView bytes = wire::view_shared(reply->bytes());
  value_ = decode(bytes.value, reply);
  type_ = &type;
  // The home of this value keeps the objects in it alive until the handle of this process has gone: by then their own
  // homes must have heard that this process holds them.
  std::set<int> homes;
  wire::for_each_handle(bytes.handles, [&](const wire::Pin& pin) { homes.insert(pin.object.rank); });
  for (const int home : homes) client.unsettle(home);
  if (!homes.empty()) client.settle(Client::nowhere);
  ready_.store(value_.get(), std::memory_order_release);
}

void SharedCopy::leave() noexcept {
  try {
    if (ready_.load(std::memory_order_acquire) == nullptr) forget();
  } catch (...) {
    // it is kept a little longer
  }
}

void SharedCopy::on_frame(link::Incoming& in) {
  if (in.head.kind != wire::Kind::object_note)
    throw wire::BadFrame("a shared value was sent a frame that is not for shared values");
  forget();
}

void SharedCopy::forget() {
  if (const auto client = client_.lock()) client->remove(note_token_);
  std::shared_ptr<SharedCopy> last;  // its destructor must not run under the lock
  const std::lock_guard lock(copies().mutex);
  const auto found = copies().all.find({id_.rank, id_.number});
  if (found == copies().all.end() || found->second.get() != this) return;
  last = std::move(found->second);
  copies().all.erase(found);
}

SharedObject::SharedObject(std::shared_ptr<Client> client, wire::ObjectId id)
    : RemoteObject(client, wire::ObjectType::shared, id), copy_(SharedCopy::find(client, id)) {}

const void* SharedObject::value(detail::DecodeShared decode, const std::type_info& type, Deadline deadline) {
  if (const void* const here = copy_->value(type)) return here;
  auto reply = fetch(deadline);
  if (!reply)
    throw TimeoutError(name() + ": its value has not come to rank " + std::to_string(client().identity().rank) +
                       " within the time limit of get(); it may be called again");
  copy_->put(std::make_shared<const Reply>(std::move(*reply)), decode, type, client());
  return copy_->value(type);
}

std::optional<Reply> SharedObject::fetch(Deadline deadline) {
  const wire::SharedGet asked{.home = {id().rank, 0}, .note_token = copy_->note_token()};
  return ask_engine_until(deadline, wire::Kind::shared_get, 0, wire::bytes_of(asked));
}

std::uint64_t SharedObject::hash_of_value() {
  const std::optional<Reply> reply = fetch({});
  return journal_hash(wire::view_shared(reply->bytes()).value);
}

}  // namespace rankpool::client

namespace rankpool::detail {

ObjectPtr share_value(Buffer value) {
  Buffer::Cargo cargo = value.take_cargo();
  for (const auto& carried : cargo)
    if (carried.object->type() == ObjectType::pipe_end)
      throw std::logic_error(
          "Pool::share: a Connection has one owner and cannot be shared: send it to the process that is to have it");
  ObjectPtr object = client::make_object(ObjectType::shared);
  for (auto& carried : cargo) carried.pin = object->client().new_pin();
  client::RemoteObject::announce(cargo);
  const wire::SharedTail tail{.value = value.size(), .handles = cargo.size()};
  for (const wire::Pin& pin : client::RemoteObject::pins_of(cargo)) value.append(&pin, sizeof pin);
  value.append(&tail, sizeof tail);
  object->post(static_cast<std::uint32_t>(wire::SharedOp::put), {}, &value);
  return object;
}

const void* shared_value(const ObjectPtr& object, DecodeShared decode, const std::type_info& type, Deadline deadline) {
  if (!object) throw Closed("Shared: this handle is empty: it was moved from, or nothing was assigned to it");
  return static_cast<client::SharedObject&>(*object).value(decode, type, deadline);
}

}  // namespace rankpool::detail

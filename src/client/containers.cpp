#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include <rankpool/detail/container.hpp>
#include <rankpool/detail/type_name.hpp>
#include <rankpool/errors.hpp>
#include <rankpool/manager.hpp>

#include "client/remote_object.hpp"
#include "wire/containers.hpp"

namespace rankpool {
namespace detail {
namespace {

std::string elements(std::size_t count) { return std::to_string(count) + (count == 1 ? " element" : " elements"); }

}  // namespace

ObjectPtr make_container(ObjectType type) { return client::make_object(type); }

ContainerAnswer Container::ask(ContainerOp operation, Buffer request) const {
  return ask_until(limit_ ? deadline_after(*limit_) : Deadline{}, operation, std::move(request));
}

ContainerAnswer Container::ask_until(Deadline deadline, ContainerOp operation, Buffer request) const {
  client::RemoteObject::announce(request.cargo());
  auto answered =
      object()->ask_until(deadline, static_cast<std::uint32_t>(operation), {}, request.empty() ? nullptr : &request);
  if (!answered)
    throw TimeoutError(name() + ": an update() of another process did not end in the time given; nothing was changed");
  const auto reply = std::make_shared<const client::Reply>(std::move(*answered));
  ContainerAnswer answer{.keeper = reply, .found = reply->status == wire::Status::ok, .bytes = reply->bytes()};
  if (!answer.found && operation == ContainerOp::contains) return answer;
  if (!answer.found || operation == ContainerOp::size) answer.size = wire::take<ContainerSize>(answer.bytes).size;
  return answer;
}

void Container::abandon() const noexcept {
  try {
    object()->tell(static_cast<std::uint32_t>(ContainerOp::abandon));
  } catch (...) {
    // the engine is gone, and the container with it
  }
}

std::string Container::name() const { return object()->name(); }

void Container::throw_no_key(const std::string& key, const ContainerAnswer& answer) const {
  throw std::out_of_range(name() + ": there is no key " + key + " (it has " + elements(answer.size) +
                          "); ask with contains(), or give get() and pop() a default");
}

void Container::throw_no_index(std::int64_t index, const ContainerAnswer& answer) const {
  const std::string size = std::to_string(answer.size);
  throw std::out_of_range(name() + ": there is no element " + std::to_string(index) + ": " +
                          (answer.size == 0 ? "it is empty"
                                            : "its indexes are 0 to " + std::to_string(answer.size - 1) +
                                                  ", or -1 to -" + size + " from the end"));
}

void Container::finish_item(Buffer& out, std::size_t at, ItemHead head, std::size_t carried) {
  const auto& cargo = out.cargo();
  head.handles = cargo.size() - carried;
  std::memcpy(out.data() + at, &head, sizeof head);
  for (std::size_t i = carried; i < cargo.size(); ++i) {
    const wire::Pin pin{cargo[i].object->id(), cargo[i].pin};
    out.append(&pin, sizeof pin);
  }
}

}  // namespace detail

Manager::Manager() { client::Client::get(); }

detail::Buffer Space::name_request(std::string_view name, std::string_view type) {
  detail::Buffer request = new_request();
  append_item(
      request, [&] { request.append(name.data(), name.size()); }, type, [] {});
  return request;
}

bool Space::contains(std::string_view name) const { return ask(Op::contains, name_request(name, {})).found; }
bool Space::erase(std::string_view name) { return ask(Op::erase, name_request(name, {})).found; }

void Space::throw_not_got(std::string_view name, const detail::ContainerAnswer& answer,
                          const std::type_info& wanted) const {
  if (answer.bytes.empty()) throw_no_key(detail::shown_key(std::string(name)), answer);
  const std::string actual(reinterpret_cast<const char*>(answer.bytes.data()), answer.bytes.size());
  throw TypeMismatch(this->name() + ": the value of \"" + std::string(name) + "\" is of type " +
                     detail::demangle(actual.c_str()) + ", not " + detail::demangle(wanted.name()));
}

}  // namespace rankpool

// A shared value as this process has it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <typeinfo>

#include <rankpool/shared.hpp>

#include "client/remote_object.hpp"

namespace rankpool::client {

/// What this process has made of a value. It outlives the handles, which may come and go with every task, until the
/// engine says that the value has gone everywhere.
class SharedCopy final : public Receiver {
 public:
  /// The one for this value, or a new one that waits for `put`.
  static std::shared_ptr<SharedCopy> find(const std::shared_ptr<Client>& client, const wire::ObjectId& id);
  SharedCopy(const std::shared_ptr<Client>& client, const wire::ObjectId& id);

  /// Where the engine says that the value has gone.
  std::uint64_t note_token() const noexcept { return note_token_; }
  /// Null: it is not here yet. @throws TypeMismatch if it is here as another type
  const void* value(const std::type_info& type) const;
  /// The value has come. @throws what decoding throws
  void put(std::shared_ptr<const Reply> reply, detail::DecodeShared decode, const std::type_info& type, Client& client);
  /// The last handle goes. Of a copy without a value nothing is kept, as nobody would tell of its end.
  void leave() noexcept;

  /// It has gone.
  void on_frame(link::Incoming& in) override;

 private:
  void forget();

  std::weak_ptr<Client> client_;  // which would not end while a value is kept
  wire::ObjectId id_;
  std::uint64_t note_token_;
  std::mutex mutex_;  // held while decoding
  std::shared_ptr<const void> value_;
  const std::type_info* type_ = nullptr;
  std::atomic<const void*> ready_{nullptr};  // then the two above do not change any more
};

/// The handles of a shared value in this process.
class SharedObject final : public RemoteObject {
 public:
  SharedObject(std::shared_ptr<Client> client, wire::ObjectId id);
  ~SharedObject() override { copy_->leave(); }

  /// Any thread, but no handler of frames. @throws as Shared::get; TypeMismatch if it was used as another type before
  const void* value(detail::DecodeShared decode, const std::type_info& type, Deadline deadline);
  /// Of the encoded value: the same in every run that shares an equal one. @throws Closed if it has gone
  std::uint64_t hash_of_value();

 private:
  std::optional<Reply> fetch(Deadline deadline);

  std::shared_ptr<SharedCopy> copy_;
};

}  // namespace rankpool::client

// What a map must tell of itself to find its results again in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <type_traits>
#include <typeinfo>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/callable_codec.hpp>
#include <rankpool/detail/codec.hpp>

namespace rankpool::detail {

class Checkpoint;

/// The types of a task, and how its items and results lie one after the other.
struct TaskTypes {
  const std::type_info* function;
  const std::type_info* item;
  const std::type_info* result;
  std::uint64_t item_bytes;                   ///< 0: each has its length in front
  std::optional<std::uint64_t> result_bytes;  ///< none: each has its length in front
};

template <class F, class Item, bool unpack>
TaskTypes task_types() {
  using R = Result<F, Item, unpack>;
  std::optional<std::uint64_t> result_bytes = item_bytes<R>();
  if (!std::is_void_v<R> && *result_bytes == 0) result_bytes.reset();
  return {&typeid(F), &typeid(Item), &typeid(R), item_bytes<Item>(), result_bytes};
}

/// Opens MapOptions::checkpoint, for as long as the job lasts; null if no file is given.
/// @throws CheckpointError
std::shared_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& file, const TaskTypes& types,
                                            const Buffer& callable);

/// For jobs that have no result for each task. @throws std::invalid_argument if there is a file
void refuse_checkpoint(const std::filesystem::path& file);

}  // namespace rankpool::detail

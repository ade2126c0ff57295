#include "wire/error_kinds.hpp"

#include <any>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <variant>

#include <rankpool/detail/codec.hpp>
#include <rankpool/errors.hpp>

namespace rankpool::wire {
namespace {

using detail::Buffer;
using detail::ErrorKind;
using detail::Reader;

template <class T>
void put(Buffer& out, const T& value) {
  detail::Codec<T>::encode(out, value);
}
template <class T>
T get(Reader& in) {
  return detail::Codec<T>::decode(in);
}

void put_code(Buffer& out, const std::error_code& code) {
  put<std::int32_t>(out, code.value());
  put<std::string>(out, code.category().name());
}
/// @throws SerializationError for a category of the user's: it cannot be found by its name
std::error_code get_code(Reader& in) {
  const int value = get<std::int32_t>(in);
  const auto name = get<std::string>(in);
  for (const std::error_category* category :
       {&std::generic_category(), &std::system_category(), &std::iostream_category(), &std::future_category()}) {
    if (name == category->name()) return {value, *category};
  }
  throw SerializationError("the error category " + name + " is not known here");
}

/// Types that hold nothing but a text, or not even that.
template <class E>
struct Travel {
  static void save(const E&, Buffer&) {}
  static E make(const std::string& text, Reader&) {
    if constexpr (std::is_constructible_v<E, const std::string&>) {
      return E(text);
    } else {
      return E();
    }
  }
};

template <class E>
struct CodeTravel {
  static void save(const E& error, Buffer& out) { put_code(out, error.code()); }
  static E make(const std::string& text, Reader& in) {
    if constexpr (std::is_constructible_v<E, std::error_code, const std::string&>) {
      return E(get_code(in), text);
    } else {
      return E(text, get_code(in));
    }
  }
};
template <>
struct Travel<std::system_error> : CodeTravel<std::system_error> {};
template <>
struct Travel<std::ios_base::failure> : CodeTravel<std::ios_base::failure> {};

template <>
struct Travel<std::filesystem::filesystem_error> {
  using E = std::filesystem::filesystem_error;
  static void save(const E& error, Buffer& out) {
    put_code(out, error.code());
    put<std::string>(out, error.path1().native());
    put<std::string>(out, error.path2().native());
  }
  static E make(const std::string& text, Reader& in) {
    const std::error_code code = get_code(in);
    const auto path1 = get<std::string>(in);
    return E(text, path1, get<std::string>(in), code);
  }
};
template <>
struct Travel<std::future_error> {
  static void save(const std::future_error& error, Buffer& out) { put<std::int32_t>(out, error.code().value()); }
  static std::future_error make(const std::string&, Reader& in) {
    return std::future_error(static_cast<std::future_errc>(get<std::int32_t>(in)));
  }
};
template <>
struct Travel<std::regex_error> {
  static void save(const std::regex_error& error, Buffer& out) { put<std::int32_t>(out, error.code()); }
  static std::regex_error make(const std::string&, Reader& in) {
    return std::regex_error(static_cast<std::regex_constants::error_type>(get<std::int32_t>(in)));
  }
};
template <>
struct Travel<BufferTooShort> {
  static void save(const BufferTooShort& error, Buffer& out) { put<std::uint64_t>(out, error.size()); }
  static BufferTooShort make(const std::string& text, Reader& in) { return {text, get<std::uint64_t>(in)}; }
};
template <>
struct Travel<WorkerLost> {
  using Fields =
      std::tuple<std::optional<int>, std::optional<int>, int, std::string, int, int, std::optional<std::uint64_t>>;
  static void save(const WorkerLost& error, Buffer& out) {
    put<Fields>(out, {error.signal(), error.exit_code(), error.rank(), error.host(), error.pid(), error.attempts(),
                      error.task_index()});
  }
  static WorkerLost make(const std::string& text, Reader& in) {
    const auto [signal, exit_code, rank, host, pid, attempts, task_index] = get<Fields>(in);
    return {text,
            {.signal = signal,
             .exit_code = exit_code,
             .rank = rank,
             .host = host,
             .pid = pid,
             .attempts = attempts,
             .task_index = task_index}};
  }
};
template <>
struct Travel<Interrupted> {
  static void save(const Interrupted& error, Buffer& out) { put<std::int32_t>(out, error.signal()); }
  static Interrupted make(const std::string& text, Reader& in) { return {text, get<std::int32_t>(in)}; }
};
template <>
struct Travel<RankLost> {
  static void save(const RankLost& error, Buffer& out) { put<std::int32_t>(out, error.rank()); }
  static RankLost make(const std::string& text, Reader& in) { return {text, get<std::int32_t>(in)}; }
};

class ErrorKinds {
 public:
  ErrorKinds() {
    add_all<std::logic_error, std::invalid_argument, std::domain_error, std::length_error, std::out_of_range,
            std::range_error, std::overflow_error, std::underflow_error, std::system_error, std::ios_base::failure,
            std::filesystem::filesystem_error, std::future_error, std::regex_error, std::bad_alloc,
            std::bad_array_new_length, std::bad_cast, std::bad_any_cast, std::bad_typeid, std::bad_exception,
            std::bad_function_call, std::bad_optional_access, std::bad_variant_access, std::bad_weak_ptr>();
    add_all<Error, WorkerLost, TaskTimeout, TimeoutError, CancelledError, PoolClosed, Empty, Full, Closed, EndOfStream,
            BrokenPipe, BufferTooShort, TypeMismatch, BrokenBarrier, SerializationError, UnknownFunction,
            BinaryMismatch, CheckpointError, NotRunning, Interrupted, RankLost, MpiError>();
  }
  void add(const ErrorKind& kind) {
    const std::lock_guard lock(mutex_);
    by_name_.insert_or_assign(kind.type->name(), kind);
    by_name_.insert_or_assign(kind.remote_type->name(), kind);
  }
  std::optional<ErrorKind> find(std::string_view mangled) {
    const std::lock_guard lock(mutex_);
    const auto at = by_name_.find(mangled);
    if (at == by_name_.end()) return std::nullopt;
    return at->second;
  }

 private:
  template <class... E>
  void add_all() {
    (add(detail::error_kind<E, Travel<E>>()), ...);
  }

  std::mutex mutex_;
  std::unordered_map<std::string_view, ErrorKind> by_name_;
};

ErrorKinds& error_kinds() {
  // Never destroyed: errors may travel until the very end of the process.
  static ErrorKinds& only = *new ErrorKinds;
  return only;
}

}  // namespace

std::optional<ErrorKind> find_error_kind(std::string_view mangled) { return error_kinds().find(mangled); }

}  // namespace rankpool::wire

namespace rankpool::detail {

void register_error_kind(const ErrorKind& kind) { wire::error_kinds().add(kind); }

}  // namespace rankpool::detail

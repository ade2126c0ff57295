#include "wire/error_record.hpp"

#include <cxxabi.h>

#include <array>
#include <string_view>
#include <utility>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/type_name.hpp>

#include "wire/error_kinds.hpp"

namespace rankpool::wire {
namespace {

using detail::Buffer;
using detail::demangle;
using detail::Reader;

constexpr std::size_t most_causes = 16;

/// std::throw_with_nested throws a type of its own, derived from the one that is meant.
std::string_view without_nesting(std::string_view mangled) {
  constexpr std::string_view prefix = "St17_Nested_exceptionI";
  if (!mangled.starts_with(prefix) || !mangled.ends_with('E')) return mangled;
  mangled.remove_prefix(prefix.size());
  mangled.remove_suffix(1);
  if (mangled.starts_with('K')) mangled.remove_prefix(1);  // of a const lvalue
  return mangled;
}

/// The type and text of an exception that is no std::exception; to be called in a handler.
ErrorRecord::Cause describe_unusual() {
  ErrorRecord::Cause cause;
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type != nullptr) cause.type_name = demangle(std::string(without_nesting(type->name())).c_str());
  try {
    throw;
  } catch (const std::string& text) {
    cause.what = text;
  } catch (const char* text) {
    cause.what = text != nullptr ? text : "";
  } catch (int number) {
    cause.what = std::to_string(number);
  } catch (...) {
    cause.what = "an exception of type " + cause.type_name + ", which is no std::exception";
  }
  return cause;
}

/// Some forget that there must be one.
std::string text_of(const std::exception& error) {
  const char* const text = error.what();
  return text != nullptr ? text : "";
}

ErrorRecord::Cause describe(const std::exception& error) {
  const auto* remote = dynamic_cast<const RemoteInfo*>(&error);
  return {.type_name = remote != nullptr ? remote->type_name()
                                         : demangle(std::string(without_nesting(typeid(error).name())).c_str()),
          .what = text_of(error)};
}

void add_causes(const std::nested_exception* nested, std::vector<ErrorRecord::Cause>& causes) {
  while (nested != nullptr && nested->nested_ptr() != nullptr && causes.size() < most_causes) {
    // The exception stays alive as long as the one it is nested in.
    try {
      nested->rethrow_nested();
    } catch (const std::exception& error) {
      causes.push_back(describe(error));
      nested = dynamic_cast<const std::nested_exception*>(&error);
    } catch (const std::nested_exception& error) {
      causes.push_back(describe_unusual());
      nested = &error;
    } catch (...) {
      causes.push_back(describe_unusual());
      nested = nullptr;
    }
  }
}

void describe_kind(const std::exception& error, ErrorRecord& record) {
  const auto kind = find_error_kind(without_nesting(typeid(error).name()));
  if (!kind) return;
  try {
    Buffer details;
    kind->save(error, details);
    record.details.assign(details.data(), details.data() + details.size());
    record.kind = kind->type->name();
  } catch (...) {
    // A `serialize` of the user's that throws, whatever: the error still travels, as a RemoteError.
  }
}

std::string one(const std::string& type_name, const std::string& what) {
  return what.empty() ? type_name : type_name + ": " + what;
}

void append_indented(std::string& text, std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    text.append("\n    ").append(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

std::string make_trace(const ErrorRecord& record, const RemoteInfo::Data& where) {
  static constexpr std::array stages = {", while its arguments were decoded", "", ", while its result was encoded"};
  std::string text = where.task_index ? "task " + std::to_string(*where.task_index) : "an error";
  text += " on rank " + std::to_string(where.rank) + " (host " + where.host + ", process " + std::to_string(where.pid) +
          ")";
  if (record.stage) text += stages[static_cast<std::size_t>(*record.stage)];
  if (!record.arguments.empty()) text += "\n  " + record.arguments;
  text += "\n  " + one(record.type_name, record.what);
  for (const auto& cause : record.causes) text += "\n  caused by " + one(cause.type_name, cause.what);
  if (!record.earlier_trace.empty()) {
    text += "\n  which came from";
    append_indented(text, record.earlier_trace);
  }
  return text;
}

}  // namespace

void ErrorRecord::encode(Buffer& out) const {
  detail::Output output(out);
  detail::save_value(output, kind);
  detail::save_value(output, type_name);
  detail::save_value(output, what);
  detail::save_value(output, stage);
  detail::save_value(output, arguments);
  const std::uint64_t count = causes.size();
  detail::save_value(output, count);
  for (const Cause& cause : causes) {
    detail::save_value(output, cause.type_name);
    detail::save_value(output, cause.what);
  }
  detail::save_value(output, earlier_trace);
  detail::save_value(output, details);
}

ErrorRecord ErrorRecord::decode(Reader& in) {
  detail::Input input(in);
  ErrorRecord record;
  detail::load_into(input, record.kind);
  detail::load_into(input, record.type_name);
  detail::load_into(input, record.what);
  detail::load_into(input, record.stage);
  if (record.stage && *record.stage > Stage::encode_result) detail::throw_damaged("there is no such stage of a task");
  detail::load_into(input, record.arguments);
  record.causes.resize(in.get_count(2 * sizeof(std::uint64_t)));
  for (Cause& cause : record.causes) {
    detail::load_into(input, cause.type_name);
    detail::load_into(input, cause.what);
  }
  detail::load_into(input, record.earlier_trace);
  detail::load_into(input, record.details);
  return record;
}

ErrorRecord describe_current_exception() {
  ErrorRecord record;
  const auto take = [&](ErrorRecord::Cause outermost) {
    record.type_name = std::move(outermost.type_name);
    record.what = std::move(outermost.what);
  };
  try {
    throw;
  } catch (const std::exception& error) {
    take(describe(error));
    describe_kind(error, record);
    if (const auto* remote = dynamic_cast<const RemoteInfo*>(&error)) record.earlier_trace = remote->trace();
    add_causes(dynamic_cast<const std::nested_exception*>(&error), record.causes);
  } catch (const std::nested_exception& error) {
    take(describe_unusual());
    add_causes(&error, record.causes);
  } catch (...) {
    take(describe_unusual());
  }
  return record;
}

std::exception_ptr to_exception(const ErrorRecord& record, RemoteInfo::Data where) {
  where.type_name = record.type_name;
  where.what = record.what;
  where.trace = make_trace(record, where);
  if (const auto kind = find_error_kind(record.kind)) {
    try {
      Reader details(record.details);
      return kind->make(RemoteInfo(where), details);
    } catch (...) {
      // Its details cannot be read here (an error category of the user's, say), or it cannot be copied: then its text
      // must do.
    }
  }
  return std::make_exception_ptr(RemoteError(std::move(where)));
}

}  // namespace rankpool::wire

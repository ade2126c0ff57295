// Exceptions on their way to another process: type, text, causes and place arrive.
#include "wire/error_record.hpp"

#include <gtest/gtest.h>

#include <any>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <variant>
#include <vector>

#include <rankpool/register_exception.hpp>

namespace {

using namespace rankpool;
using detail::Buffer;
using detail::Reader;
using rankpool::wire::ErrorRecord;

RemoteInfo::Data place() { return {.rank = 2, .host = "node07", .pid = 4711, .task_index = 5}; }

template <class Thrower>
ErrorRecord describe(Thrower throw_it) {
  try {
    throw_it();
  } catch (...) {
    return wire::describe_current_exception();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

ErrorRecord travel(const ErrorRecord& record) {
  Buffer buffer;
  record.encode(buffer);
  Reader in({buffer.data(), buffer.size()});
  ErrorRecord back = ErrorRecord::decode(in);
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_EQ(back, record);
  return back;
}

template <class Thrower>
std::exception_ptr remote(Thrower throw_it) {
  return wire::to_exception(travel(describe(throw_it)), place());
}

/// Thrown here and there, `error` must arrive as an E that is a RemoteInfo too, with the same text.
template <class E, class Thrown = E>
void expect_same(const Thrown& error) {
  SCOPED_TRACE(typeid(Thrown).name());
  try {
    std::rethrow_exception(remote([&] { throw error; }));
  } catch (const E& there) {
    EXPECT_STREQ(there.what(), error.what());
    const auto* info = dynamic_cast<const RemoteInfo*>(&there);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->remote_what(), error.what());
    EXPECT_EQ(info->rank(), 2);
    EXPECT_EQ(info->host(), "node07");
    EXPECT_EQ(info->pid(), 4711);
    EXPECT_EQ(info->task_index(), 5u);
    EXPECT_NE(info->trace().find(error.what()), std::string::npos);
  } catch (...) {
    ADD_FAILURE() << "arrived as another type";
  }
  // once as std::exception too: no ambiguous base
  EXPECT_THROW(std::rethrow_exception(remote([&] { throw error; })), std::exception);
}

struct MyError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct MyLogicError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct NoException {
  int x = 1;
};

TEST(ErrorRecord, StandardTypes) {
  expect_same<std::logic_error>(std::logic_error("text"));
  expect_same<std::invalid_argument>(std::invalid_argument("text"));
  expect_same<std::domain_error>(std::domain_error("text"));
  expect_same<std::length_error>(std::length_error("text"));
  expect_same<std::out_of_range>(std::out_of_range("text"));
  expect_same<std::range_error>(std::range_error("text"));
  expect_same<std::overflow_error>(std::overflow_error("text"));
  expect_same<std::underflow_error>(std::underflow_error("text"));
  expect_same<std::bad_alloc>(std::bad_alloc());
  expect_same<std::bad_array_new_length>(std::bad_array_new_length());
  expect_same<std::bad_cast>(std::bad_cast());
  expect_same<std::bad_any_cast>(std::bad_any_cast());
  expect_same<std::bad_typeid>(std::bad_typeid());
  expect_same<std::bad_function_call>(std::bad_function_call());
  expect_same<std::bad_optional_access>(std::bad_optional_access());
  expect_same<std::bad_variant_access>(std::bad_variant_access());
  expect_same<std::bad_weak_ptr>(std::bad_weak_ptr());
  expect_same<std::future_error>(std::future_error(std::future_errc::broken_promise));
  expect_same<std::regex_error>(std::regex_error(std::regex_constants::error_brack));
}

TEST(ErrorRecord, SystemErrorsKeepTheirCode) {
  const std::system_error error(ENOENT, std::generic_category(), "opening");
  expect_same<std::system_error>(error);
  try {
    std::rethrow_exception(remote([&] { throw error; }));
  } catch (const std::system_error& there) {
    EXPECT_EQ(there.code(), error.code());
    EXPECT_EQ(there.code(), std::errc::no_such_file_or_directory);
  }
  expect_same<std::ios_base::failure>(std::ios_base::failure("stream", std::io_errc::stream));
  const std::filesystem::filesystem_error file("reading", "/a", "/b", std::error_code(EACCES, std::system_category()));
  expect_same<std::filesystem::filesystem_error>(file);
  try {
    std::rethrow_exception(remote([&] { throw file; }));
  } catch (const std::filesystem::filesystem_error& there) {
    EXPECT_EQ(there.path1(), "/a");
    EXPECT_EQ(there.path2(), "/b");
    EXPECT_EQ(there.code(), file.code());
  }
}

TEST(ErrorRecord, AnErrorCategoryOfTheUsers) {
  struct Category : std::error_category {
    const char* name() const noexcept override { return "mine"; }
    std::string message(int) const override { return "my message"; }
  };
  static const Category category;
  expect_same<RemoteError>(std::system_error(3, category, "text"));
}

TEST(ErrorRecord, EverythingElseIsARemoteError) {
  expect_same<RemoteError>(std::runtime_error("text"));
  expect_same<RemoteError>(MyError("text"));
  expect_same<RemoteError>(MyLogicError("text"));
  const auto info = [](auto throw_it) {
    try {
      std::rethrow_exception(remote(throw_it));
    } catch (const RemoteError& error) {
      return std::pair<std::string, std::string>(error.type_name(), error.what());
    }
  };
  EXPECT_EQ(info([] { throw std::runtime_error("text"); }).first, "std::runtime_error");
  EXPECT_EQ(info([] { throw MyError("text"); }).first, "(anonymous namespace)::MyError");
  EXPECT_EQ(info([] { throw 42; }), std::pair(std::string("int"), std::string("42")));
  EXPECT_EQ(info([] { throw "literal"; }).second, "literal");
  EXPECT_EQ(info([] { throw std::string("text"); }).second, "text");
  EXPECT_NE(info([] { throw NoException{}; }).second.find("NoException"), std::string::npos);
}

TEST(ErrorRecord, ErrorsOfRankpoolKeepTheirTypes) {
  expect_same<Error>(Error("text"));
  expect_same<TaskTimeout>(TaskTimeout("text"));
  expect_same<TimeoutError>(TimeoutError("text"));
  expect_same<CancelledError>(CancelledError("text"));
  expect_same<PoolClosed>(PoolClosed("text"));
  expect_same<Empty>(Empty("text"));
  expect_same<Full>(Full("text"));
  expect_same<Closed>(Closed("text"));
  expect_same<EndOfStream>(EndOfStream("text"));
  expect_same<BrokenPipe>(BrokenPipe("text"));
  expect_same<TypeMismatch>(TypeMismatch("text"));
  expect_same<BrokenBarrier>(BrokenBarrier("text"));
  expect_same<SerializationError>(SerializationError("text"));
  expect_same<UnknownFunction>(UnknownFunction("text"));
  expect_same<BinaryMismatch>(BinaryMismatch("text"));
  expect_same<CheckpointError>(CheckpointError("text"));
  expect_same<NotRunning>(NotRunning("text"));
  expect_same<MpiError>(MpiError("text"));
  expect_same<BufferTooShort>(BufferTooShort(77));
  expect_same<Interrupted>(Interrupted("text", 15));
  expect_same<RankLost>(RankLost("text", 3));
  try {
    std::rethrow_exception(remote([] { throw RankLost("text", 3); }));
  } catch (const RankLost& lost) {
    EXPECT_EQ(lost.rank(), 3);
  }
  expect_same<WorkerLost>(
      WorkerLost({.signal = 9, .rank = 1, .host = "far", .pid = 3, .attempts = 2, .task_index = 8}));
  try {
    std::rethrow_exception(remote([] { throw WorkerLost({.signal = 9, .rank = 1, .host = "far", .pid = 3}); }));
  } catch (const WorkerLost& lost) {
    EXPECT_EQ(lost.signal(), 9);
    EXPECT_EQ(lost.rank(), 1);
    EXPECT_EQ(lost.host(), "far");
  }
  try {
    std::rethrow_exception(remote([] { throw BufferTooShort(77); }));
  } catch (const BufferTooShort& error) {
    EXPECT_EQ(error.size(), 77u);
  }
}

TEST(ErrorRecord, NestedExceptionsAreInTheTrace) {
  const auto nested = [] {
    try {
      try {
        throw std::out_of_range("innermost");
      } catch (...) {
        std::throw_with_nested(MyError("middle"));
      }
    } catch (...) {
      std::throw_with_nested(std::invalid_argument("outer"));
    }
  };
  const ErrorRecord record = describe(nested);
  EXPECT_EQ(record.type_name, "std::invalid_argument");
  EXPECT_EQ(record.causes, (std::vector<ErrorRecord::Cause>{{"(anonymous namespace)::MyError", "middle"},
                                                            {"std::out_of_range", "innermost"}}));
  try {
    std::rethrow_exception(remote(nested));
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "outer");
    EXPECT_EQ(dynamic_cast<const RemoteInfo&>(error).trace(),
              "task 5 on rank 2 (host node07, process 4711)\n"
              "  std::invalid_argument: outer\n"
              "  caused by (anonymous namespace)::MyError: middle\n"
              "  caused by std::out_of_range: innermost");
  }
}

TEST(ErrorRecord, NestedInSomethingThatIsNoException) {
  const ErrorRecord record = describe([] {
    try {
      throw 42;
    } catch (...) {
      std::throw_with_nested(NoException{});
    }
  });
  EXPECT_EQ(record.type_name, "(anonymous namespace)::NoException");
  ASSERT_EQ(record.causes.size(), 1u);
  EXPECT_EQ(record.causes[0], (ErrorRecord::Cause{"int", "42"}));
}

TEST(ErrorRecord, AnErrorThatTravelsTwice) {
  const std::exception_ptr first = remote([] { throw std::out_of_range("text"); });
  RemoteInfo::Data outer = place();
  outer.rank = 9;
  outer.task_index = 1;
  const auto again = wire::to_exception(travel(describe([&] { std::rethrow_exception(first); })), outer);
  try {
    std::rethrow_exception(again);
  } catch (const std::out_of_range& error) {
    const auto& info = dynamic_cast<const RemoteInfo&>(error);
    EXPECT_STREQ(error.what(), "text");
    EXPECT_EQ(info.type_name(), "std::out_of_range");
    EXPECT_EQ(info.rank(), 9);
    EXPECT_NE(info.trace().find("task 1 on rank 9"), std::string::npos) << info.trace();
    EXPECT_NE(info.trace().find("task 5 on rank 2"), std::string::npos) << info.trace();
  }
  const std::exception_ptr own = remote([] { throw MyError("text"); });
  try {
    std::rethrow_exception(wire::to_exception(travel(describe([&] { std::rethrow_exception(own); })), outer));
  } catch (const RemoteError& error) {
    EXPECT_EQ(error.type_name(), "(anonymous namespace)::MyError");
    EXPECT_STREQ(error.what(), "text");
  }
}

TEST(ErrorRecord, TheStageIsInTheTrace) {
  ErrorRecord record = describe([] { throw std::logic_error("text"); });
  EXPECT_FALSE(record.stage);
  record.stage = ErrorRecord::Stage::encode_result;
  try {
    std::rethrow_exception(wire::to_exception(travel(record), place()));
  } catch (const RemoteInfo& info) {
    EXPECT_NE(info.trace().find("while its result was encoded"), std::string::npos) << info.trace();
  }
}

TEST(ErrorRecord, TheArgumentsAreInTheTrace) {
  ErrorRecord record = describe([] { throw std::logic_error("text"); });
  EXPECT_TRUE(record.arguments.empty());
  record.stage = ErrorRecord::Stage::call;
  record.arguments = "arguments: (1, 2)";
  try {
    std::rethrow_exception(wire::to_exception(travel(record), place()));
  } catch (const RemoteInfo& info) {
    EXPECT_EQ(info.trace(),
              "task 5 on rank 2 (host node07, process 4711)\n"
              "  arguments: (1, 2)\n"
              "  std::logic_error: text");
  }
}

class Registered : public std::exception {
 public:
  Registered() = default;
  Registered(std::string text, std::vector<int> data) : text_(std::move(text)), data_(std::move(data)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  const std::vector<int>& data() const { return data_; }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& data_;  // the text needs no help
  }
  std::string text_;
  std::vector<int> data_;
};
struct DerivedFromRegistered : Registered {
  using Registered::Registered;
};

TEST(ErrorRecord, RegisteredTypes) {
  const Registered error("text", {1, 2, 3});
  expect_same<RemoteError>(error);
  register_exception<Registered>();
  expect_same<Registered>(error);
  try {
    std::rethrow_exception(remote([&] { throw error; }));
  } catch (const Registered& there) {
    EXPECT_EQ(there.data(), error.data());
  }
  try {
    std::rethrow_exception(remote([&] {
      try {
        throw 1;
      } catch (...) {
        std::throw_with_nested(error);
      }
    }));
  } catch (const Registered& there) {
    EXPECT_EQ(there.data(), error.data());
  }
  expect_same<RemoteError>(DerivedFromRegistered("text", {}));
}

TEST(ErrorRecord, DamagedDetailsStillGiveTheText) {
  ErrorRecord record = describe([] { throw std::system_error(ENOENT, std::generic_category(), "opening"); });
  record.details.resize(3);
  EXPECT_THROW(std::rethrow_exception(wire::to_exception(record, place())), RemoteError);
  record.kind = "no such type";
  EXPECT_THROW(std::rethrow_exception(wire::to_exception(record, place())), RemoteError);
}

TEST(ErrorRecord, EveryCutIsRefused) {
  ErrorRecord record = describe([] {
    try {
      throw 1;
    } catch (...) {
      std::throw_with_nested(std::system_error(ENOENT, std::generic_category(), "opening"));
    }
  });
  record.stage = ErrorRecord::Stage::call;
  record.arguments = "argument: 1";
  Buffer buffer;
  record.encode(buffer);
  for (std::size_t size = 0; size < buffer.size(); ++size) {
    Reader in({buffer.data(), size});
    EXPECT_THROW(ErrorRecord::decode(in), SerializationError) << size;
  }
}

}  // namespace

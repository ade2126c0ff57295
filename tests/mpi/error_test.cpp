// What a task throws, as its caller gets it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <any>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <ranges>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include <rankpool/rankpool.hpp>
#include <rankpool/register_exception.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Failure;
using support::square;

namespace {

class Errors : public testing::Test {
 protected:
  rp::Pool pool{2};
};

/// A task that throws comes to its caller as an E, with where it came from, and as a std::exception.
template <class E>
void expect_itself(rp::Pool& pool, auto task, const std::string& type_name) {
  const Failure failure([&] { pool.map(task, std::vector<int>{3}); });
  ASSERT_TRUE(failure.is<E>()) << type_name << ": " << failure;
  EXPECT_TRUE(failure.is<std::exception>()) << type_name << " is ambiguous: " << failure;
  const auto* const remote = failure.as<rp::RemoteInfo>();
  ASSERT_NE(remote, nullptr) << failure;
  EXPECT_EQ(remote->type_name(), type_name);
  EXPECT_EQ(remote->remote_what(), failure.what());
  EXPECT_FALSE(failure.is<rp::RemoteError>()) << "that is for types that are not known";
}

struct OutOfPaper : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct BadRequest : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct NoException {
  int number = 0;
};

/// Registered, so it arrives as itself, with its data.
class OutOfInk : public std::runtime_error {
 public:
  OutOfInk() : std::runtime_error("out of ink") {}
  explicit OutOfInk(std::string colour) : std::runtime_error("out of " + colour + " ink"), colour_(std::move(colour)) {}
  const std::string& colour() const { return colour_; }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& colour_;
  }
  std::string colour_;
};

/// Of no use to a caller: what it holds cannot be written.
struct CannotBeSent : std::runtime_error {
  CannotBeSent() : std::runtime_error("cannot be sent") {}
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw 42;
  }
};
/// What it holds cannot be read.
struct CannotBeRead : std::runtime_error {
  CannotBeRead() : std::runtime_error("cannot be read") {}
  template <class Archive>
  void serialize(Archive&, unsigned) {
    if (Archive::is_loading::value) throw std::logic_error("unreadable");
  }
};
/// Cannot be copied when it counts.
struct CannotBeCopied : std::exception {
  CannotBeCopied() = default;
  CannotBeCopied(const CannotBeCopied&) : std::exception() { throw std::bad_alloc(); }
  const char* what() const noexcept override { return "cannot be copied"; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};
/// Has no text at all.
struct Speechless : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
/// Two std::exceptions at once, so that `catch (const std::exception&)` does not find it.
struct Ambiguous : std::invalid_argument, std::bad_alloc {
  Ambiguous() : std::invalid_argument("ambiguous") {}
};

template <class... E>
bool register_all() {
  (rp::register_exception<E>(), ...);
  return true;
}
const bool registered = register_all<OutOfInk, CannotBeSent, CannotBeRead, CannotBeCopied>();

}  // namespace

// ---- types

TEST_F(Errors, standard_ones_arrive_as_themselves) {
  expect_itself<std::invalid_argument>(
      pool, [](int) { throw std::invalid_argument("text"); }, "std::invalid_argument");
  expect_itself<std::domain_error>(
      pool, [](int) { throw std::domain_error("text"); }, "std::domain_error");
  expect_itself<std::length_error>(
      pool, [](int) { throw std::length_error("text"); }, "std::length_error");
  expect_itself<std::out_of_range>(
      pool, [](int) { throw std::out_of_range("text"); }, "std::out_of_range");
  expect_itself<std::logic_error>(
      pool, [](int) { throw std::logic_error("text"); }, "std::logic_error");
  expect_itself<std::range_error>(
      pool, [](int) { throw std::range_error("text"); }, "std::range_error");
  expect_itself<std::overflow_error>(
      pool, [](int) { throw std::overflow_error("text"); }, "std::overflow_error");
  expect_itself<std::underflow_error>(
      pool, [](int) { throw std::underflow_error("text"); }, "std::underflow_error");
  expect_itself<std::bad_alloc>(
      pool, [](int) { throw std::bad_alloc(); }, "std::bad_alloc");
  expect_itself<std::bad_optional_access>(
      pool, [](int) { std::optional<int>().value(); }, "std::bad_optional_access");
  expect_itself<std::bad_variant_access>(
      pool, [](int) { std::get<1>(std::variant<int, char>(1)); }, "std::bad_variant_access");
  expect_itself<std::bad_any_cast>(
      pool, [](int) { std::any_cast<int>(std::any()); }, "std::bad_any_cast");
  expect_itself<std::bad_array_new_length>(
      pool, [](int) { throw std::bad_array_new_length(); }, "std::bad_array_new_length");
  expect_itself<std::bad_cast>(
      pool,
      [](int) {
        const std::out_of_range error("");
        const std::exception& base = error;
        return dynamic_cast<const std::invalid_argument&>(base).what()[0];
      },
      "std::bad_cast");
  expect_itself<std::bad_typeid>(
      pool, [](int) { throw std::bad_typeid(); }, "std::bad_typeid");
  expect_itself<std::bad_exception>(
      pool, [](int) { throw std::bad_exception(); }, "std::bad_exception");
  expect_itself<std::bad_function_call>(
      pool, [](int) { std::function<void()>()(); }, "std::bad_function_call");
  expect_itself<std::bad_weak_ptr>(
      pool, [](int) { std::shared_ptr<int>(std::weak_ptr<int>()); }, "std::bad_weak_ptr");
  expect_itself<std::regex_error>(
      pool, [](int) { std::regex("["); }, "std::regex_error");
  expect_itself<std::future_error>(
      pool,
      [](int) {
        std::future<int> orphan = std::promise<int>().get_future();
        orphan.get();
      },
      "std::future_error");
  expect_itself<std::system_error>(
      pool, [](int) { throw std::system_error(EIO, std::system_category()); }, "std::system_error");
  expect_itself<std::filesystem::filesystem_error>(
      pool, [](int) { static_cast<void>(std::filesystem::file_size("/no/such/file")); },
      "std::filesystem::__cxx11::filesystem_error");
  expect_itself<std::ios_base::failure>(
      pool, [](int) { throw std::ios_base::failure("text"); }, "std::ios_base::failure[abi:cxx11]");
  expect_itself<std::out_of_range>(
      pool, [](int i) { return std::vector<int>{1}.at(static_cast<std::size_t>(i)); }, "std::out_of_range");
  expect_itself<std::invalid_argument>(
      pool, [](int) { return std::stoi("x"); }, "std::invalid_argument");
}

TEST_F(Errors, standard_ones_are_caught_by_their_bases) {
  const Failure failure([&] { pool.apply([] { throw std::out_of_range("far out"); }); });
  EXPECT_TRUE(failure.is<std::logic_error>()) << failure;
  EXPECT_FALSE(failure.is<rp::Error>()) << "it is none of rankpool's own";
  EXPECT_EQ(failure.what(), "far out");
}

TEST_F(Errors, codes_are_kept) {
  const Failure failure(
      [&] { pool.apply([] { throw std::system_error(ENOSPC, std::generic_category(), "writing"); }); });
  const auto* const error = failure.as<std::system_error>();
  ASSERT_NE(error, nullptr) << failure;
  EXPECT_EQ(error->code(), std::errc::no_space_on_device);
  EXPECT_STREQ(error->what(), std::system_error(ENOSPC, std::generic_category(), "writing").what());

  const Failure of_files([&] { pool.apply([] { static_cast<void>(std::filesystem::file_size("/no/such/file")); }); });
  const auto* const files = of_files.as<std::filesystem::filesystem_error>();
  ASSERT_NE(files, nullptr) << of_files;
  EXPECT_EQ(files->path1(), "/no/such/file");
  EXPECT_EQ(files->code(), std::errc::no_such_file_or_directory);
}

TEST_F(Errors, others_arrive_as_remote_errors) {
  const auto expect_remote = [&](auto task, const std::string& type_name, const std::string& what) {
    const Failure failure([&] { pool.apply(task); });
    const auto* const error = failure.as<rp::RemoteError>();
    ASSERT_NE(error, nullptr) << type_name << ": " << failure;
    EXPECT_TRUE(failure.is<rp::Error>());
    EXPECT_TRUE(failure.is<std::runtime_error>());
    EXPECT_TRUE(failure.is<std::exception>());
    EXPECT_EQ(error->what(), what);
    EXPECT_EQ(error->remote_what(), what);
    EXPECT_NE(error->type_name().find(type_name), std::string::npos) << error->type_name();
  };
  expect_remote([] { throw std::runtime_error("plain"); }, "std::runtime_error", "plain");
  expect_remote([] { throw OutOfPaper("tray 2"); }, "OutOfPaper", "tray 2");
  expect_remote([] { throw BadRequest("404"); }, "BadRequest", "404");
  expect_remote([] { throw 42; }, "int", "42");
  expect_remote([] { throw "a literal"; }, "char const*", "a literal");
  expect_remote([] { throw std::string("a string"); }, "string", "a string");
  const Failure unusual([&] { pool.apply([] { throw NoException{1}; }); });
  const auto* const error = unusual.as<rp::RemoteError>();
  ASSERT_NE(error, nullptr) << unusual;
  EXPECT_NE(error->type_name().find("NoException"), std::string::npos);
  EXPECT_NE(unusual.what().find("NoException"), std::string::npos) << unusual;
}

TEST_F(Errors, registered_ones_arrive_as_themselves_with_their_data) {
  ASSERT_TRUE(registered);
  const Failure failure([&] { pool.apply([] { throw OutOfInk("magenta"); }); });
  const auto* const error = failure.as<OutOfInk>();
  ASSERT_NE(error, nullptr) << failure;
  EXPECT_EQ(error->colour(), "magenta");
  EXPECT_STREQ(error->what(), "out of magenta ink");
  const auto* const remote = failure.as<rp::RemoteInfo>();
  ASSERT_NE(remote, nullptr);
  EXPECT_NE(remote->type_name().find("OutOfInk"), std::string::npos) << remote->type_name();
}

TEST_F(Errors, of_rankpool_itself_come_through_a_task) {
  const Failure lost([&] {
    pool.apply([] {
      rp::Pool inner(1);
      inner.apply([] { ::_exit(9); });
    });
  });
  const auto* const error = lost.as<rp::WorkerLost>();
  ASSERT_NE(error, nullptr) << lost;
  EXPECT_EQ(error->exit_code(), 9);
  EXPECT_TRUE(lost.is<rp::RemoteInfo>()) << "it was thrown in a task";
  EXPECT_THROW(pool.apply([] {
    rp::Pool inner(1);
    inner.close();
    inner.apply(square, 1L);
  }),
               rp::PoolClosed);
  EXPECT_THROW(pool.apply([] { rp::Pool inner(0); }), std::invalid_argument);
}

TEST_F(Errors, that_cannot_travel_whole_still_tell_what_they_say) {
  const auto expect_remote = [&](auto task, const std::string& type_name, const std::string& what) {
    const Failure failure([&] { pool.apply(task); });
    const auto* const error = failure.as<rp::RemoteError>();
    ASSERT_NE(error, nullptr) << type_name << ": " << failure;
    EXPECT_EQ(error->what(), what);
    EXPECT_NE(error->type_name().find(type_name), std::string::npos) << error->type_name();
  };
  expect_remote([] { throw CannotBeSent(); }, "CannotBeSent", "cannot be sent");
  expect_remote([] { throw CannotBeRead(); }, "CannotBeRead", "cannot be read");
  expect_remote([] { throw CannotBeCopied(); }, "CannotBeCopied", "cannot be copied");
  expect_remote([] { throw Speechless(); }, "Speechless", "");
  expect_remote([] { throw nullptr; }, "decltype(nullptr)", "");
  const Failure ambiguous([&] { pool.apply([] { throw Ambiguous(); }); });
  ASSERT_TRUE(ambiguous.is<rp::RemoteError>()) << ambiguous;
  EXPECT_NE(ambiguous.as<rp::RemoteError>()->type_name().find("Ambiguous"), std::string::npos) << ambiguous;
  EXPECT_EQ(pool.apply(square, 3L), 9) << "the pool goes on";
}

TEST_F(Errors, with_texts_of_every_kind) {
  std::vector<std::string> texts{
      "", "\n", "two\nlines", "\xff\xfe\x80", "gr\xc3\xbc\xc3\x9f", std::string(10'000'000, 'x')};
  std::string bytes;
  for (int byte = 1; byte < 256; ++byte) bytes += static_cast<char>(byte);
  texts.push_back(bytes);
  for (const std::string& text : texts) {
    const Failure known([&] { pool.apply([](const std::string& what) { throw std::invalid_argument(what); }, text); });
    EXPECT_TRUE(known.is<std::invalid_argument>());
    EXPECT_TRUE(known.what() == text) << text.substr(0, 50);
    const Failure unknown([&] { pool.apply([](const std::string& what) { throw what; }, text); });
    EXPECT_TRUE(unknown.is<rp::RemoteError>());
    EXPECT_TRUE(unknown.what() == text) << text.substr(0, 50);
  }
}

// ---- where they come from

/// The second line of the trace.
std::string argument_line(rp::Pool& pool, auto task, const auto&... arguments) {
  const Failure failure([&] { pool.apply(task, arguments...); });
  const auto* const error = failure.as<rp::RemoteInfo>();
  if (error == nullptr) return "no error of a task";
  const std::string& trace = error->trace();
  const std::size_t begin = trace.find('\n') + 1;
  return trace.substr(begin, trace.find('\n', begin) - begin);
}

TEST_F(Errors, tell_what_the_task_was_given) {
  EXPECT_EQ(argument_line(
                pool, [](int) { throw 1; }, 42),
            "  argument: 42");
  EXPECT_EQ(argument_line(
                pool,
                [](int, std::string text, std::vector<int> numbers) {
                  const auto moved = std::pair(std::move(text), std::move(numbers));
                  throw std::runtime_error("late");
                },
                3, std::string("abc"), std::vector<int>(1000, 7)),
            "  arguments: (3, \"abc\", [7, 7, 7, ... 1000 elements])");
  EXPECT_EQ(argument_line(pool, [] { throw 1; }), "  int: 1") << "there are none";
  const Failure failure([&] {
    pool.map(
        [](const std::string& word) {
          if (word == "bad\n") throw std::invalid_argument("a bad word");
        },
        std::vector<std::string>{"good", "bad\n", "better"}, {.chunksize = 3});
  });
  ASSERT_TRUE(failure.is<rp::RemoteInfo>()) << failure;
  EXPECT_NE(failure.as<rp::RemoteInfo>()->trace().find("\n  argument: \"bad\\n\"\n"), std::string::npos)
      << failure.as<rp::RemoteInfo>()->trace();
}

TEST_F(Errors, tell_nothing_of_handles_but_their_type) {
  rp::Queue<int> queue;
  const std::string line = argument_line(
      pool,
      [](rp::Queue<int> out, int number) {
        out.put(number);
        throw 1;
      },
      queue, 5);
  EXPECT_EQ(line, "  arguments: (rankpool::Queue<int>, int)");
  EXPECT_EQ(queue.get(), 5);
}

TEST_F(Errors, say_where_they_come_from) {
  const std::set<int> pids = support::worker_pids(pool);
  const support::Scratch scratch;
  const auto task = [](const std::string& file, int i) {
    if (i != 17) return;
    support::add_line(file, std::to_string(rp::rank()));
    support::add_line(file, std::to_string(::getpid()));
    throw std::runtime_error("number seventeen");
  };
  for (const std::size_t chunksize : {0u, 1u, 5u}) {
    const std::string file = scratch.file(std::to_string(chunksize));
    const Failure failure(
        [&] { pool.map(rp::partial(task, file), std::views::iota(0, 40), {.chunksize = chunksize}); });
    const auto* const error = failure.as<rp::RemoteInfo>();
    ASSERT_NE(error, nullptr) << failure;
    const std::vector<long> told = support::numbers_of(file);
    ASSERT_EQ(told.size(), 2u);
    EXPECT_EQ(error->rank(), told[0]);
    EXPECT_EQ(error->pid(), told[1]);
    EXPECT_TRUE(pids.contains(error->pid())) << "the worker survives its errors";
    EXPECT_EQ(error->host(), rp::current_process().host);
    EXPECT_EQ(error->task_index(), std::optional<std::size_t>(17)) << "chunksize " << chunksize;
    for (const std::string& part :
         {std::string("17"), std::string("std::runtime_error"), std::string("number seventeen"), error->host()})
      EXPECT_NE(error->trace().find(part), std::string::npos) << "no \"" << part << "\" in " << error->trace();
  }
  const Failure one([&] { pool.apply([] { throw 1; }); });
  ASSERT_TRUE(one.is<rp::RemoteInfo>()) << one;
  EXPECT_EQ(one.as<rp::RemoteInfo>()->task_index(), std::optional<std::size_t>(0));
}

TEST_F(Errors, tell_what_caused_them) {
  const auto task = [](int) {
    try {
      try {
        throw std::out_of_range("no such key");
      } catch (...) {
        std::throw_with_nested(std::runtime_error("reading the settings"));
      }
    } catch (...) {
      std::throw_with_nested(std::invalid_argument("starting up"));
    }
  };
  const Failure failure([&] { pool.map(task, std::vector<int>{0}); });
  ASSERT_TRUE(failure.is<std::invalid_argument>()) << failure;
  EXPECT_EQ(failure.what(), "starting up");
  const std::string trace = failure.as<rp::RemoteInfo>()->trace();
  const auto first = trace.find("starting up");
  const auto second = trace.find("reading the settings");
  const auto third = trace.find("no such key");
  EXPECT_TRUE(first < second && second < third && third != std::string::npos) << trace;
}

TEST_F(Errors, tell_the_whole_way) {
  const auto outer = [](int) {
    rp::Pool inner(1);
    inner.apply([] { throw std::domain_error("at the bottom"); });
  };
  const Failure failure([&] { pool.map(outer, std::vector<int>{0}); });
  const auto* const error = failure.as<rp::RemoteInfo>();
  ASSERT_NE(error, nullptr) << failure;
  EXPECT_TRUE(failure.is<std::domain_error>()) << failure;
  EXPECT_EQ(error->type_name(), "std::domain_error");
  EXPECT_EQ(failure.what(), "at the bottom");
  EXPECT_NE(error->trace().find("which came from"), std::string::npos) << error->trace();
}

// ---- of several

TEST_F(Errors, the_first_in_input_order_is_thrown) {
  const auto task = [](int i) {
    if (i == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      throw std::invalid_argument("slow two");
    }
    if (i > 2) throw std::out_of_range("quick " + std::to_string(i));
    return i;
  };
  for (const std::size_t chunksize : {1u, 2u, 0u}) {
    const Failure failure([&] { pool.map(task, std::views::iota(0, 12), {.chunksize = chunksize}); });
    EXPECT_TRUE(failure.is<std::invalid_argument>()) << failure;
    EXPECT_EQ(failure.what(), "slow two") << "chunksize " << chunksize;
  }
}

TEST_F(Errors, do_not_stop_the_other_tasks) {
  const support::Scratch scratch;
  for (const std::size_t chunksize : {0u, 1u, 10u, 100u}) {
    const std::string log = scratch.file(std::to_string(chunksize));
    const auto task = [](const std::string& file, int i) {
      support::add_line(file, std::to_string(i));
      if (i % 10 == 3) throw std::runtime_error("three");
    };
    EXPECT_THROW(pool.map(rp::partial(task, log), std::views::iota(0, 100), {.chunksize = chunksize}), rp::RemoteError);
    std::vector<long> ran = support::numbers_of(log);
    std::sort(ran.begin(), ran.end());
    std::vector<long> expected(100);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(ran, expected) << "chunksize " << chunksize << ": when map throws, all have run, each once";
  }
}

TEST_F(Errors, all_of_many) {
  const Failure failure(
      [&] { pool.map([](int i) { throw std::runtime_error(std::to_string(i)); }, std::views::iota(0, 20000)); });
  EXPECT_EQ(failure.what(), "0");
  EXPECT_EQ(pool.apply(square, 3L), 9) << "the pool goes on";
}

TEST_F(Errors, with_huge_texts) {
  const auto task = [](int i) {
    if (i % 2 == 1) throw std::invalid_argument(std::string(1024 * 1024, static_cast<char>('a' + i)));
    return i;
  };
  const Failure failure([&] { pool.map(task, std::views::iota(0, 10), {.chunksize = 1}); });
  ASSERT_TRUE(failure.is<std::invalid_argument>());
  EXPECT_TRUE(failure.what() == std::string(1024 * 1024, 'b'));
  EXPECT_EQ(pool.apply(square, 3L), 9) << "the pool goes on";
}

TEST_F(Errors, in_a_row_leave_the_workers_alive) {
  const std::set<int> pids = support::worker_pids(pool);
  for (int i = 0; i < 100; ++i) {
    const Failure failure([&] { pool.apply([](int number) { throw std::runtime_error(std::to_string(number)); }, i); });
    ASSERT_EQ(failure.what(), std::to_string(i)) << failure;
  }
  EXPECT_EQ(support::worker_pids(pool), pids);
}

TEST_F(Errors, of_one_job_leave_others_alone) {
  std::vector<rp::AsyncResult<int>> results;
  for (int i = 0; i < 60; ++i) {
    results.push_back(pool.apply_async(
        [](int number) {
          if (number % 3 == 0) throw std::out_of_range(std::to_string(number));
          return number;
        },
        i));
  }
  for (int i = 0; i < 60; ++i) {
    const rp::AsyncResult<int>& result = results[static_cast<std::size_t>(i)];
    if (i % 3 == 0) {
      EXPECT_EQ(Failure([&] { result.get(); }).what(), std::to_string(i));
    } else {
      EXPECT_EQ(result.get(), i);
    }
  }
}

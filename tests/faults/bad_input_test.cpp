// Values that cannot be written or read again, wherever that shows: it costs the task that they belong to, and nobody
// hangs.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Failure;
using support::square;

namespace {

enum class Flaw : std::uint8_t { none, throws_when_written, throws_when_read, dies_when_written, dies_when_read };

/// A value with a flaw that shows when it is serialized.
struct Parcel {
  int number = 0;
  Flaw flaw = Flaw::none;
  std::string content = {};

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number& flaw;
    show(Archive::is_saving::value ? Flaw::throws_when_written : Flaw::throws_when_read,
         Archive::is_saving::value ? Flaw::dies_when_written : Flaw::dies_when_read);
    archive& content;
  }
  bool operator==(const Parcel&) const = default;

 private:
  void show(Flaw throwing, Flaw deadly) const {
    if (flaw == throwing) throw std::runtime_error("parcel " + std::to_string(number) + " has burst");
    if (flaw == deadly) ::_exit(8);
  }
};

int number_of(const Parcel& parcel) { return parcel.number; }
Parcel make(int number, Flaw flaw) { return {number, flaw, "content"}; }

/// As it came, but flawed if its number is 5.
struct MakeFifthBad {
  Flaw flaw;
  Parcel operator()(int number) const { return make(number, number == 5 ? flaw : Flaw::none); }
};

/// Which writes more than it reads.
struct Unbalanced {
  int number = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number;
    if constexpr (Archive::is_saving::value) archive& number;
  }
};
/// Which reads more than it writes.
struct Greedy {
  int number = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number;
    if constexpr (Archive::is_loading::value) archive& number;
  }
};

/// A functor that cannot be read in a worker.
struct BadFunctor {
  Parcel parcel;
  int operator()(int i) const { return i; }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& parcel;
  }
};

std::vector<int> numbers(int n) {
  std::vector<int> all;
  for (int i = 0; i < n; ++i) all.push_back(i);
  return all;
}
std::vector<Parcel> parcels_with(Flaw flaw) {
  std::vector<Parcel> all;
  for (const int i : numbers(20)) all.push_back(make(i, i == 5 ? flaw : Flaw::none));
  return all;
}

class BadInput : public testing::Test {
 protected:
  void expect_that_the_pool_is_well() {
    EXPECT_EQ(pool.map(number_of, parcels_with(Flaw::none)), numbers(20));
    EXPECT_EQ(support::worker_pids(pool), pids_) << "it has lost workers";
  }
  static void expect_serialization_error(const Failure& failure, const std::string& part) {
    ASSERT_TRUE(failure.is<rp::SerializationError>()) << failure;
    EXPECT_NE(failure.what().find(part), std::string::npos) << failure;
  }

  rp::Pool pool{2};
  const std::set<int> pids_ = support::worker_pids(pool);
};

constexpr std::array<std::size_t, 3> chunksizes{0, 1, 7};

}  // namespace

// ---- arguments

TEST_F(BadInput, an_argument_that_cannot_be_written_throws_in_the_caller) {
  for (const std::size_t chunksize : chunksizes) {
    const Failure failure(
        [&] { pool.map(number_of, parcels_with(Flaw::throws_when_written), {.chunksize = chunksize}); });
    EXPECT_EQ(failure.what(), "parcel 5 has burst") << "chunksize " << chunksize;
    EXPECT_TRUE(failure.is<std::runtime_error>()) << failure;
    EXPECT_FALSE(failure.is<rp::RemoteInfo>()) << "it was thrown here: " << failure;
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(Failure([&] { pool.apply_async(number_of, make(i, Flaw::throws_when_written)); }).what(),
              "parcel " + std::to_string(i) + " has burst");
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, an_argument_that_cannot_be_read_fails_its_task) {
  for (const std::size_t chunksize : chunksizes)
    expect_serialization_error(
        Failure([&] { pool.map(number_of, parcels_with(Flaw::throws_when_read), {.chunksize = chunksize}); }),
        "parcel 5 has burst");
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, an_argument_that_cannot_be_read_fails_its_task_alone) {
  const support::Scratch scratch;
  for (const std::size_t chunksize : chunksizes) {
    const std::string log = scratch.file(std::to_string(chunksize));
    const auto report = [](const std::string& file, const Parcel& parcel) {
      support::add_line(file, std::to_string(parcel.number));
    };
    EXPECT_THROW(pool.map(rp::partial(report, log), parcels_with(Flaw::throws_when_read), {.chunksize = chunksize}),
                 rp::SerializationError);
    std::vector<long> ran = support::numbers_of(log);
    std::sort(ran.begin(), ran.end());
    std::vector<long> expected;
    for (int i = 0; i < 20; ++i)
      if (i != 5) expected.push_back(i);
    EXPECT_EQ(ran, expected) << "chunksize " << chunksize;
  }
}

TEST_F(BadInput, an_argument_that_kills_its_reader_is_a_lost_worker) {
  const Failure failure([&] { pool.map(number_of, parcels_with(Flaw::dies_when_read), {.chunksize = 4}); });
  const auto* const lost = failure.as<rp::WorkerLost>();
  ASSERT_NE(lost, nullptr) << failure;
  EXPECT_EQ(lost->exit_code(), 8);
  EXPECT_EQ(lost->task_index(), std::optional<std::size_t>(5));
  EXPECT_EQ(pool.map(number_of, parcels_with(Flaw::none)), numbers(20));
}

TEST_F(BadInput, arguments_that_read_other_than_they_write) {
  const Failure left_over([&] { pool.map([](const Unbalanced& u) { return u.number; }, std::vector<Unbalanced>(3)); });
  EXPECT_TRUE(left_over.is<rp::SerializationError>()) << left_over;
  const Failure too_short(
      [&] { pool.map([](const Greedy& g) { return g.number; }, std::vector<Greedy>(3), {.chunksize = 3}); });
  EXPECT_TRUE(too_short.is<rp::SerializationError>()) << too_short;
  expect_that_the_pool_is_well();
}

// ---- callables

TEST_F(BadInput, a_callable_that_cannot_be_written_throws_in_the_caller) {
  const Failure failure([&] { pool.map(BadFunctor{make(1, Flaw::throws_when_written)}, numbers(3)); });
  EXPECT_EQ(failure.what(), "parcel 1 has burst");
  EXPECT_FALSE(failure.is<rp::RemoteInfo>()) << failure;
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, a_callable_that_cannot_be_read_fails_the_job) {
  for (int i = 0; i < 3; ++i)
    expect_serialization_error(Failure([&] { pool.map(BadFunctor{make(i, Flaw::throws_when_read)}, numbers(30)); }),
                               "parcel " + std::to_string(i) + " has burst");
  expect_that_the_pool_is_well();
}

// ---- results

TEST_F(BadInput, a_result_that_cannot_be_written_fails_its_task) {
  for (const std::size_t chunksize : chunksizes)
    expect_serialization_error(
        Failure([&] { pool.map(MakeFifthBad{Flaw::throws_when_written}, numbers(20), {.chunksize = chunksize}); }),
        "parcel 5 has burst");
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, a_result_that_cannot_be_read_fails_its_task) {
  for (const std::size_t chunksize : chunksizes)
    expect_serialization_error(
        Failure([&] { pool.map(MakeFifthBad{Flaw::throws_when_read}, numbers(20), {.chunksize = chunksize}); }),
        "parcel 5 has burst");
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, results_in_a_row_leave_the_workers_alive) {
  for (const Flaw flaw : {Flaw::throws_when_written, Flaw::throws_when_read}) {
    std::vector<rp::AsyncResult<Parcel>> results;
    for (int i = 0; i < 40; ++i) results.push_back(pool.apply_async(make, i, i % 2 == 0 ? flaw : Flaw::none));
    for (int i = 0; i < 40; ++i) {
      const Failure failure([&] { EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), make(i, Flaw::none)); });
      if (i % 2 == 0) {
        expect_serialization_error(failure, "parcel " + std::to_string(i) + " has burst");
      } else {
        EXPECT_FALSE(failure) << failure;
      }
    }
  }
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, a_result_that_kills_its_writer_is_a_lost_worker) {
  const Failure failure([&] { pool.map(MakeFifthBad{Flaw::dies_when_written}, numbers(20), {.chunksize = 4}); });
  const auto* const lost = failure.as<rp::WorkerLost>();
  ASSERT_NE(lost, nullptr) << failure;
  EXPECT_EQ(lost->exit_code(), 8);
  EXPECT_EQ(lost->task_index(), std::optional<std::size_t>(5));
  EXPECT_EQ(pool.map(number_of, parcels_with(Flaw::none)), numbers(20));
}

TEST_F(BadInput, results_that_read_other_than_they_write) {
  const Failure left_over([&] { pool.map([](int i) { return Unbalanced{i}; }, numbers(3)); });
  EXPECT_TRUE(left_over.is<rp::SerializationError>()) << left_over;
  const Failure too_short([&] { pool.map([](int i) { return Greedy{i}; }, numbers(3)); });
  EXPECT_TRUE(too_short.is<rp::SerializationError>()) << too_short;
  expect_that_the_pool_is_well();
}

TEST_F(BadInput, errors_of_both_kinds_in_one_map) {
  const auto task = [](int i) {
    if (i == 3) throw std::out_of_range("three");
    return make(i, i == 6 ? Flaw::throws_when_written : i == 9 ? Flaw::throws_when_read : Flaw::none);
  };
  EXPECT_EQ(Failure([&] { pool.map(task, numbers(12)); }).what(), "three") << "the first in input order";
  std::vector<int> later{4, 5, 6, 7, 8, 9, 10};
  expect_serialization_error(Failure([&] { pool.map(task, later, {.chunksize = 2}); }), "parcel 6 has burst");
  later.erase(later.begin() + 2);
  expect_serialization_error(Failure([&] { pool.map(task, later, {.chunksize = 2}); }), "parcel 9 has burst");
  expect_that_the_pool_is_well();
}

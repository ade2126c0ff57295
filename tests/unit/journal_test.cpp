// Files of results: whatever happens to their bytes, what is read from them is right, or nothing is.
#include "client/journal.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <rankpool/errors.hpp>

#include "../support/failure.hpp"
#include "../support/scratch.hpp"

namespace rankpool::client {
namespace {

using Bytes = std::vector<std::byte>;
using support::Failure;

const JournalIdentity fixed{.program = 11, .function = 22, .seed = 33, .result_bytes = 4};
const JournalIdentity varying{.program = 11, .function = 22, .seed = 33, .result_bytes = std::nullopt};
const JournalIdentity without{.program = 11, .function = 22, .seed = 33, .result_bytes = 0};

void append(Bytes& to, std::span<const std::byte> more) { to.insert(to.end(), more.begin(), more.end()); }

/// What task `i` gives: 4 bytes, or none to 6 with their length in front.
Bytes result_of(std::uint64_t i, const JournalIdentity& identity) {
  if (identity.result_bytes == 0) return {};
  if (identity.result_bytes) return Bytes(4, std::byte(i % 251));
  const std::uint64_t length = i % 7;
  Bytes result(sizeof length + length, std::byte(i % 251));
  std::memcpy(result.data(), &length, sizeof length);
  return result;
}
std::uint64_t hash_of(std::uint64_t i) { return i * 0x9e3779b97f4a7c15; }

Bytes record(std::uint64_t first, std::uint64_t count, const JournalIdentity& identity) {
  Bytes results;
  std::vector<std::uint64_t> hashes;
  for (std::uint64_t i = first; i < first + count; ++i) {
    append(results, result_of(i, identity));
    hashes.push_back(hash_of(i));
  }
  Bytes all = journal_record(first, hashes, results);
  append(all, results);
  return all;
}

using Runs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
const Runs some_runs{{4, 3}, {0, 1}, {20, 5}, {1, 3}, {9, 2}};

struct File {
  Bytes bytes;
  std::vector<std::size_t> ends;  // of the header and of each record
};
File make_file(const JournalIdentity& identity, const Runs& runs = some_runs) {
  File file;
  const auto header = journal_header(identity);
  append(file.bytes, header);
  file.ends.push_back(file.bytes.size());
  for (const auto& [first, count] : runs) {
    append(file.bytes, record(first, count, identity));
    file.ends.push_back(file.bytes.size());
  }
  return file;
}

/// The result of every task in it, each as it was written, or the test fails.
std::map<std::uint64_t, Bytes> results_of(const Bytes& file, const Journal& journal, const JournalIdentity& identity) {
  std::map<std::uint64_t, Bytes> all;
  std::uint64_t tasks = 0;
  for (const JournalRun& run : journal.runs) {
    const std::span<const std::byte> bytes = std::span(file).subspan(run.at, run.bytes);
    std::span<const std::byte> rest = bytes.subspan(run.count * journal_hash_bytes);
    for (std::uint64_t i = 0; i < run.count; ++i) {
      const std::uint64_t task = run.first + i;
      const std::size_t size = bytes_of_items(rest, 1, identity.result_bytes).value();
      EXPECT_EQ(hash_in(bytes, i), hash_of(task));
      EXPECT_EQ(Bytes(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size)), result_of(task, identity));
      all.emplace(task, Bytes(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size)));
      rest = rest.subspan(size);
    }
    EXPECT_TRUE(rest.empty());
    tasks += run.count;
  }
  EXPECT_EQ(all.size(), journal.tasks);
  EXPECT_EQ(tasks, journal.tasks);
  return all;
}

std::string refusal(const Bytes& file, const JournalIdentity& identity = fixed) {
  const Failure failure([&] { read_journal(file, identity, "x.journal"); });
  EXPECT_TRUE(failure.is<CheckpointError>()) << failure;
  EXPECT_TRUE(failure.what().starts_with("checkpoint x.journal: ")) << failure;
  return failure.what();
}

class Journals : public testing::TestWithParam<const JournalIdentity*> {
 protected:
  const JournalIdentity& identity_ = *GetParam();
  const File file_ = make_file(identity_);
};
INSTANTIATE_TEST_SUITE_P(Results, Journals, testing::Values(&fixed, &varying, &without));

TEST_P(Journals, give_back_what_was_put_in) {
  const Journal journal = read_journal(file_.bytes, identity_, "x");
  EXPECT_EQ(journal.good, file_.bytes.size());
  EXPECT_EQ(journal.tasks, 14u);
  EXPECT_EQ(results_of(file_.bytes, journal, identity_).size(), 14u);
  ASSERT_EQ(journal.runs.size(), 5u);
  EXPECT_EQ(journal.runs.front().first, 0u);
  EXPECT_EQ(journal.runs.back().end(), 25u);
}

TEST_P(Journals, that_end_anywhere_lose_at_most_the_last_record) {
  for (std::size_t size = 0; size <= file_.bytes.size(); ++size) {
    const Bytes torn(file_.bytes.begin(), file_.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const Journal journal = read_journal(torn, identity_, "x");
    std::size_t good = 0;
    for (const std::size_t end : file_.ends)
      if (end <= size) good = end;
    EXPECT_EQ(journal.good, good) << size;
    results_of(torn, journal, identity_);
  }
}

TEST_P(Journals, with_a_wrong_byte_are_refused_or_lose_their_end) {
  const std::size_t last_record = file_.ends[file_.ends.size() - 2];
  std::size_t refused = 0;
  for (std::size_t at = 0; at < file_.bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = file_.bytes;
      damaged[at] ^= std::byte{1} << bit;
      try {
        const Journal journal = read_journal(damaged, identity_, "x");
        EXPECT_GE(at, last_record) << "what comes behind it was dropped";
        EXPECT_EQ(journal.good, last_record);
        results_of(damaged, journal, identity_);
      } catch (const CheckpointError&) {
        ++refused;
      }
    }
  }
  EXPECT_GE(refused, 8 * last_record);
}

TEST_P(Journals, of_random_bytes_never_do_harm) {
  std::mt19937_64 random(20261122);
  for (int round = 0; round < 20'000; ++round) {
    Bytes damaged = file_.bytes;
    for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes)
      damaged[random() % damaged.size()] = std::byte(random());
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    try {
      results_of(damaged, read_journal(damaged, identity_, "x"), identity_);
    } catch (const CheckpointError&) {
    }
  }
}

TEST(JournalFormat, zeros_at_the_end_are_what_a_power_failure_leaves) {
  File file = make_file(fixed);
  file.bytes.resize(file.bytes.size() + 5000);
  EXPECT_EQ(read_journal(file.bytes, fixed, "x").good, file.ends.back());
}

TEST(JournalFormat, sizes_beyond_all_memory_are_refused_before_memory_is_asked_for) {
  for (const std::uint64_t huge : {~std::uint64_t{0}, std::uint64_t{1} << 61, std::uint64_t{1} << 40}) {
    // a checksum that is right does not make it true
    const std::vector<std::uint64_t> hashes{1};
    Bytes file = make_file(varying, {}).bytes;
    Bytes results(sizeof huge);
    std::memcpy(results.data(), &huge, sizeof huge);
    append(file, journal_record(0, hashes, results));
    append(file, results);
    EXPECT_NE(refusal(file, varying).find("makes no sense"), std::string::npos);
    Bytes index = make_file(fixed, {}).bytes;
    append(index, journal_record(huge, hashes, Bytes(3)));
    append(index, Bytes(3));
    EXPECT_NE(refusal(index).find("makes no sense"), std::string::npos);
  }
}

TEST(JournalFormat, a_task_can_be_in_it_once) {
  EXPECT_NE(refusal(make_file(fixed, {{0, 4}, {7, 2}, {3, 1}}).bytes).find("task 3 is in it twice"), std::string::npos);
  EXPECT_NE(refusal(make_file(fixed, {{5, 1}, {2, 8}}).bytes).find("task 5 is in it twice"), std::string::npos);
}

TEST(JournalFormat, says_whose_it_is) {
  const Bytes file = make_file(fixed).bytes;
  const auto with = [](auto change) {
    JournalIdentity other = fixed;
    change(other);
    return other;
  };
  EXPECT_NE(refusal(file, with([](auto& id) { id.program = 5; })).find("another build of the program"),
            std::string::npos);
  EXPECT_NE(refusal(file, with([](auto& id) { id.function = 5; })).find("another function"), std::string::npos);
  EXPECT_NE(refusal(file, with([](auto& id) { id.result_bytes = 5; })).find("another function"), std::string::npos);
  EXPECT_NE(refusal(file, with([](auto& id) { id.result_bytes.reset(); })).find("another function"), std::string::npos);
  EXPECT_NE(refusal(file, with([](auto& id) { id.seed = 5; })).find("RANKPOOL_SEED=33, and it is 5 now"),
            std::string::npos);
  EXPECT_NE(refusal(file, with([](auto& id) { id.seed = 5; })).find("delete the file"), std::string::npos);
}

TEST(JournalFormat, other_files_are_not_taken_for_one) {
  for (const std::string text : {"x", "{}", "a,b,c\n1,2,3\n", "\x89PNG\r\n\x1a\n"}) {
    Bytes file(text.size());
    std::memcpy(file.data(), text.data(), text.size());
    EXPECT_NE(refusal(file).find("no checkpoint of rankpool"), std::string::npos) << text;
  }
  EXPECT_NE(refusal(Bytes(100)).find("no checkpoint of rankpool"), std::string::npos);
}

TEST(JournalFormat, a_newer_one_is_not_guessed_at) {
  Bytes file = make_file(fixed).bytes;
  file[8] = std::byte{2};
  EXPECT_NE(refusal(file).find("newer rankpool (format 2; this one knows 1)"), std::string::npos);
}

TEST(JournalFormat, does_not_change) {
  // a file that this version cannot read any more needs another number in its header
  const Bytes file = make_file(fixed, {{7, 1}}).bytes;
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i > 0; --i) value = value << 8 | std::to_integer<std::uint64_t>(file[at + i - 1]);
    return value;
  };
  EXPECT_EQ(std::memcmp(file.data(), "\x89RPJ\r\n\x1a\n", 8), 0);
  EXPECT_EQ(number(8, 4), 1u);
  EXPECT_EQ(number(16, 8), 11u);
  EXPECT_EQ(number(24, 8), 22u);
  EXPECT_EQ(number(32, 8), 33u);
  EXPECT_EQ(number(40, 8), 4u);
  EXPECT_EQ(number(48 + 8, 8), 7u);
  EXPECT_EQ(number(48 + 16, 8), 1u);
  EXPECT_EQ(number(48 + 24, 8), 12u);
  EXPECT_EQ(number(48 + 32, 8), hash_of(7));
  EXPECT_EQ(file.size(), 48u + 32u + 12u);
}

TEST(JournalFormat, items_that_differ_in_a_bit_have_other_hashes) {
  std::set<std::uint64_t> seen;
  std::size_t count = 0;
  for (const std::size_t size : {0u, 1u, 7u, 8u, 9u, 16u, 40u}) {
    Bytes item(size);
    seen.insert(journal_hash(item));
    ++count;
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      item[bit / 8] ^= std::byte{1} << (bit % 8);
      seen.insert(journal_hash(item));
      item[bit / 8] ^= std::byte{1} << (bit % 8);
      ++count;
    }
  }
  EXPECT_EQ(seen.size(), count);
}

// ---- on a disk

class JournalFiles : public testing::Test {
 protected:
  void add(JournalFile& file, std::uint64_t first, std::uint64_t count) {
    std::vector<std::uint64_t> hashes;
    Bytes results;
    for (std::uint64_t i = first; i < first + count; ++i) {
      hashes.push_back(hash_of(i));
      append(results, result_of(i, fixed));
    }
    file.add(first, hashes, results);
  }
  void write(const std::string& text) { std::ofstream(name_, std::ios::binary) << text; }
  std::string why_not(const std::filesystem::path& name) {
    const Failure failure([&] { const JournalFile file(name, fixed); });
    EXPECT_TRUE(failure.is<CheckpointError>()) << failure;
    EXPECT_NE(failure.what().find(name.string()), std::string::npos) << failure;
    return failure.what();
  }

  support::Scratch scratch_;
  const std::string name_ = scratch_.file("x.journal");
};

TEST_F(JournalFiles, have_what_was_added) {
  {
    JournalFile file(name_, fixed);
    EXPECT_EQ(file.tasks(), 0u);
    add(file, 0, 3);
    add(file, 10, 1);
    EXPECT_EQ(file.tasks(), 4u);
    EXPECT_TRUE(file.runs().empty()) << "that is what was found";
    file.sync();
  }
  JournalFile file(name_, fixed);
  ASSERT_EQ(file.runs().size(), 2u);
  EXPECT_EQ(hash_in(file.bytes_of(file.runs()[1]), 0), hash_of(10));
  add(file, 3, 2);
  file.close();
  EXPECT_EQ(hash_in(file.bytes_of(file.runs()[0]), 2), hash_of(2)) << "after it was closed";
  EXPECT_EQ(JournalFile(name_, fixed).tasks(), 6u);
}

TEST_F(JournalFiles, lose_a_torn_end_for_good) {
  {
    JournalFile file(name_, fixed);
    add(file, 0, 3);
    add(file, 3, 3);
  }
  std::filesystem::resize_file(name_, std::filesystem::file_size(name_) - 1);
  {
    JournalFile file(name_, fixed);
    EXPECT_EQ(file.tasks(), 3u);
    EXPECT_EQ(std::filesystem::file_size(name_), 48u + 32u + 3 * 12u);
    add(file, 5, 1);
  }
  EXPECT_EQ(JournalFile(name_, fixed).tasks(), 4u);
}

TEST_F(JournalFiles, begin_anew_where_even_the_header_is_torn) {
  for (const std::size_t size : {0u, 1u, 8u, 47u}) {
    std::filesystem::remove(name_);
    { const JournalFile file(name_, fixed); }
    std::filesystem::resize_file(name_, size);
    JournalFile file(name_, fixed);
    add(file, 0, 1);
    file.close();
    EXPECT_EQ(JournalFile(name_, fixed).tasks(), 1u) << size;
  }
}

TEST_F(JournalFiles, can_be_rolled_back) {
  {
    JournalFile file(name_, fixed);
    add(file, 0, 3);
  }
  const std::string before = support::content_of(name_);
  JournalFile file(name_, fixed);
  add(file, 3, 30);
  file.roll_back();
  EXPECT_EQ(file.tasks(), 3u);
  EXPECT_EQ(support::content_of(name_), before);
}

TEST_F(JournalFiles, are_left_alone_if_they_are_something_else) {
  write("dear diary\n");
  EXPECT_NE(why_not(name_).find("no checkpoint of rankpool"), std::string::npos);
  EXPECT_EQ(support::content_of(name_), "dear diary\n");
}

TEST_F(JournalFiles, must_be_files_in_a_folder_that_is_there) {
  EXPECT_NE(why_not(std::filesystem::path(name_).parent_path()).find("this is a directory"), std::string::npos);
  EXPECT_NE(why_not(scratch_.file("no/such/x.journal")).find("does not exist: make it first"), std::string::npos);
  EXPECT_NE(why_not("/dev/full").find("no regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo(name_.c_str(), 0600), 0);
  EXPECT_NE(why_not(name_).find("no regular file"), std::string::npos);
}

TEST_F(JournalFiles, belong_to_one_at_a_time) {
  JournalFile first(name_, fixed);
  EXPECT_NE(why_not(name_).find("in use by another program"), std::string::npos);
  add(first, 0, 1);
  first.close();
  EXPECT_EQ(JournalFile(name_, fixed).tasks(), 1u);
}

}  // namespace
}  // namespace rankpool::client

// Processes at the end of their program, and what they print.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Ended;
using support::Failure;
using support::SmallProgram;

namespace {

void say_later(const std::string& text) {
  std::this_thread::sleep_for(50ms);
  std::cout << text;
}

int leave_processes(int argc, char** argv, void (*end)()) {
  return rp::run(argc, argv, [end] {
    static auto* const kept = new std::vector<rp::Process>;
    kept->emplace_back(say_later, "waited for\n").start();
    kept->emplace_back(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0).start();
    end();
    return 6;
  });
}
const SmallProgram returns_early("returns_early",
                                 [](int argc, char** argv) { return leave_processes(argc, argv, [] {}); });
const SmallProgram exits_early("exits_early",
                               [](int argc, char** argv) { return leave_processes(argc, argv, [] { std::exit(6); }); });

const SmallProgram throws_early("throws_early", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    static auto* const kept = new rp::Process(support::sleep_for_ever, 0);
    kept->start();
    throw std::runtime_error("at once");
  });
});

const SmallProgram reads("reads", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    std::cout << "before\n";
    rp::Process process([] {
      std::string word;
      std::cout << (std::cin >> word ? "stdin was " + word : "no stdin") << "\n";
      std::printf("by printf");
    });
    process.start();
    process.join();
    std::cout << "\nafter\n";
  });
});

const SmallProgram outside("outside", [](int argc, char** argv) {
  int refused = 0;
  const auto expect = [&](auto&& call) { refused += Failure(call).is<rp::NotRunning>() ? 1 : 0; };
  const auto all = [&] {
    expect([] { rp::Process process(support::own_pid); });
    expect([] { static_cast<void>(rp::parent_process()); });
    expect([] { static_cast<void>(rp::active_children()); });
  };
  all();
  static std::unique_ptr<rp::Process> outlives;
  const int status = rp::run(argc, argv, [] {
    outlives = std::make_unique<rp::Process>(support::own_pid);
    outlives->start();
  });
  all();
  return status + refused;
});

}  // namespace

TEST(ProcessesOfPrograms, are_waited_for_at_the_end) {
  for (const std::string name : {"returns_early", "exits_early"}) {
    for (const auto& options : support::every_start()) {
      const Ended ended = support::start(name, options);
      EXPECT_EQ(ended.status, 6) << name << ": " << ended;
      EXPECT_EQ(ended.out, "waited for\n") << name << ": " << ended;
      EXPECT_TRUE(ended.left.empty()) << name << ": " << ended;
    }
  }
}

TEST(ProcessesOfPrograms, end_at_once_if_the_program_throws) {
  const Ended ended = support::start("throws_early");
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}

TEST(ProcessesOfPrograms, print_in_order_and_have_no_input) {
  const Ended ended = support::start("reads", {.input = "something"});
  EXPECT_EQ(ended.out, "before\nno stdin\nby printf\nafter\n") << ended;
}

TEST(ProcessesOfPrograms, exist_only_while_it_runs) {
  const Ended ended = support::start("outside");
  EXPECT_EQ(ended.status, 6) << ended;
}

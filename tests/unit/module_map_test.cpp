// The modules of this process: the program, its libraries, and those that come later.
#include "shipping/module_map.hpp"

#include <gtest/gtest.h>

#include <dlfcn.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shipping/hash.hpp"

namespace {

using rankpool::shipping::module_at;
using rankpool::shipping::module_with_id;

void here() {}

std::uintptr_t address_of(void (*function)()) { return reinterpret_cast<std::uintptr_t>(function); }

TEST(ModuleMap, TheProgram) {
  const auto program = module_at(address_of(&here));
  ASSERT_TRUE(program);
  EXPECT_EQ(program->name, "the main program");
  EXPECT_EQ(program->id, rankpool::shipping::program_build_id());
  EXPECT_EQ(program->build_id, rankpool::shipping::program_build_id_text());
  EXPECT_GE(program->build_id.size(), 16u);
  EXPECT_EQ(program->build_id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(module_with_id(program->id)->base, program->base);
}

TEST(ModuleMap, Libraries) {
  const auto library = module_at(reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "getpid")));
  ASSERT_TRUE(library);
  EXPECT_NE(library->name.find("libc"), std::string::npos) << library->name;
  EXPECT_NE(library->id, rankpool::shipping::program_build_id());
}

TEST(ModuleMap, DataAndNothingAreInNoCode) {
  static int data = 0;
  EXPECT_FALSE(module_at(reinterpret_cast<std::uintptr_t>(&data)));
  EXPECT_FALSE(module_at(0x1000));
  EXPECT_FALSE(module_with_id(1));
}

TEST(ModuleMap, ALibraryIsKnownFromWhenItIsLoadedToWhenItIsUnloaded) {
  std::unique_ptr<void, int (*)(void*)> library(::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL), &::dlclose);
  ASSERT_NE(library, nullptr);
  const auto address = reinterpret_cast<std::uintptr_t>(::dlsym(library.get(), "inet_net_pton"));
  const auto module = module_at(address);
  ASSERT_TRUE(module);
  EXPECT_TRUE(module_with_id(module->id));
  library.reset();
  EXPECT_FALSE(module_with_id(module->id));
  EXPECT_FALSE(module_at(address));
}

TEST(ModuleMap, ManyThreadsWhileLibrariesComeAndGo) {
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        const auto module = module_at(address_of(&here));
        wrong += !module || module->id != rankpool::shipping::program_build_id();
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    if (void* library = ::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL)) ::dlclose(library);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Hash, OrderAndTypeCount) {
  using rankpool::shipping::hash_of;
  using rankpool::shipping::mix;
  EXPECT_NE(mix(1, 2), mix(2, 1));
  EXPECT_NE(hash_of(typeid(int)), hash_of(typeid(long)));
  EXPECT_EQ(hash_of(typeid(int)), hash_of(typeid(int)));
}

}  // namespace

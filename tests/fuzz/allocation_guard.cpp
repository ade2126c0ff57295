// Watches how much memory the decoders ask for at a time.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "damage.hpp"

namespace fuzz {
namespace {

std::atomic<std::size_t> largest{0};

void* allocate(std::size_t size) {
  for (std::size_t before = largest.load(); before < size && !largest.compare_exchange_weak(before, size);) {
  }
  if (size > most_allocated) throw std::bad_alloc();
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

std::size_t largest_allocation() noexcept { return largest; }

}  // namespace fuzz

void* operator new(std::size_t size) { return fuzz::allocate(size); }
void* operator new[](std::size_t size) { return fuzz::allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

// The decoders for libFuzzer. Built by clang with -DRANKPOOL_FUZZ=ON:
//   fuzz_target -max_len=8192 -malloc_limit_mb=64 -detect_leaks=0 [-fork=2] FOLDER
// (Boost forgets what it was reading through a pointer when the bytes end.) `fuzz_target --seeds FOLDER` writes valid
// messages to begin with.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "calls.hpp"
#include "engine.hpp"
#include "frames.hpp"
#include "values.hpp"

namespace {

struct Decoder {
  void (*decode)(std::span<const std::byte>);
  std::vector<fuzz::Bytes> (*seeds)();
};
constexpr Decoder decoders[] = {{fuzz::decode_value, fuzz::values},
                                {fuzz::decode_call, fuzz::calls},
                                {fuzz::decode_frame, fuzz::frames},
                                {fuzz::decode_engine, fuzz::engine_scripts}};

void write_seeds(const std::string& folder) {
  int count = 0;
  for (std::size_t which = 0; which < std::size(decoders); ++which) {
    for (const fuzz::Bytes& bytes : decoders[which].seeds()) {
      std::ofstream file(folder + "/seed" + std::to_string(count++), std::ios::binary);
      file.put(static_cast<char>(which));
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::string_view((*argv)[1]) == "--seeds") {
    write_seeds((*argv)[2]);
    std::exit(0);
  }
  return 0;
}

/// The first byte says which decoder.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  decoders[*data % std::size(decoders)].decode(std::as_bytes(std::span(data + 1, size - 1)));
  return 0;
}

// Damaged values end in an exception: no crash, no endless loop, and no memory that the message could not fill.
#include "values.hpp"

#include <gtest/gtest.h>

#include <string>

namespace fuzz {
namespace {

constexpr int rounds = 120'000;

std::string refusal_of(const Bytes& tree) {
  try {
    rankpool::detail::Reader in(tree);
    static_cast<void>(rankpool::detail::Codec<Tree>::decode(in));
  } catch (const rankpool::SerializationError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(ValueFuzz, DamagedValues) {
  run_damaged(values(), rounds, decode_value);
  EXPECT_LT(largest_allocation(), most_allocated);
}

TEST(ValueFuzz, NestedTooDeeply) {
  Tree tree;
  for (int i = 0; i < 1000; ++i) {
    Tree above;
    above.children.push_back(std::move(tree));
    tree = std::move(above);
  }
  rankpool::detail::Buffer buffer;
  rankpool::detail::Codec<Tree>::encode(buffer, tree);
  rankpool::detail::Reader in({buffer.data(), buffer.size()});
  EXPECT_EQ(rankpool::detail::Codec<Tree>::decode(in).children.size(), 1u) << "a thousand levels are no trouble";

  // the same bytes go on and on: the first object of a class says what all others need not repeat
  Bytes bytes(buffer.data(), buffer.data() + buffer.size() / 2);
  const Bytes level(bytes.end() - 12, bytes.end());
  for (int i = 0; i < 1'000'000; ++i) append(bytes, level);
  EXPECT_NE(refusal_of(bytes).find("nested too deeply"), std::string::npos) << refusal_of(bytes);
}

TEST(ValueFuzz, AnEnormousNumberOfLargeElements) {
  const std::size_t before = largest_allocation();
  Bytes bytes;
  append(bytes, std::uint64_t{1'000'000});
  bytes.resize(bytes.size() + 1'000'000, std::byte{0xff});  // a megabyte, for a gigabyte of elements
  rankpool::detail::Reader in(bytes);
  EXPECT_THROW(static_cast<void>(rankpool::detail::Codec<std::vector<Wide>>::decode(in)), rankpool::SerializationError);
  EXPECT_LE(largest_allocation(), std::max<std::size_t>(before, 4 * bytes.size()));
}

}  // namespace
}  // namespace fuzz

// The two streams of messages between a pair of ranks.
#pragma once

namespace rankpool::transport {

inline constexpr int packet_tag = 1;
inline constexpr int bulk_tag = 2;  // the bytes of copied segments, in the order of their frames in the packets

}  // namespace rankpool::transport

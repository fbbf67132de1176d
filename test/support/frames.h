// SPDX-License-Identifier: Apache-2.0
// HTTP/2 frames byte by byte (RFC 9113 §4.1), for peers that do not behave.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ambientd::test::h2 {

enum Type : uint8_t {
  DATA,
  HEADERS,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  PUSH,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION
};
inline constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string u32(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

inline std::string frame(Type type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  std::string out = u32(static_cast<uint32_t>(payload.size())).substr(1);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  (out += u32(stream)) += payload;
  return out;
}

inline std::string setting(uint16_t id, uint32_t value) {
  return std::string{static_cast<char>(id >> 8), static_cast<char>(id)} + u32(value);
}

// Literal fields without indexing (RFC 7541 §6.2.2); names and values shorter than 127 bytes.
inline std::string field(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  (out += static_cast<char>(name.size())) += name;
  (out += static_cast<char>(value.size())) += value;
  return out;
}

inline std::string connect_head(std::string_view authority = "10.0.0.1:80") {
  return field(":method", "CONNECT") + field(":authority", authority);
}

// A request that is complete, headers and all.
inline std::string get(uint32_t stream) {
  return frame(HEADERS, kEndHeaders | kEndStream, stream, "\x82\x86\x84" + field(":authority", "a"));
}

struct Frame {
  Type type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
};

// The whole frames in `bytes`; after a client's preface if there is one.
inline std::vector<Frame> parse(std::string_view bytes) {
  if (bytes.starts_with(kPreface)) bytes.remove_prefix(kPreface.size());
  auto at = [&bytes](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])); };
  std::vector<Frame> out;
  while (bytes.size() >= 9) {
    size_t length = at(0) << 16 | at(1) << 8 | at(2);
    if (bytes.size() < 9 + length) break;
    uint32_t stream = (at(5) & 0x7f) << 24 | at(6) << 16 | at(7) << 8 | at(8);
    out.push_back({static_cast<Type>(at(3)), static_cast<uint8_t>(at(4)), stream,
                   std::string(bytes.substr(9, length))});
    bytes.remove_prefix(9 + length);
  }
  return out;
}

inline size_t count(const std::vector<Frame>& frames, Type type, std::string_view ends_with = {}) {
  size_t n = 0;
  for (const Frame& each : frames) n += each.type == type && each.payload.ends_with(ends_with);
  return n;
}

}  // namespace ambientd::test::h2

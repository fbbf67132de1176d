// SPDX-License-Identifier: Apache-2.0
#include "l4/proxy_header.h"

#include <cstdint>

namespace ambientd::l4 {
namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr uint8_t kProxy = 0x21;  // version 2, command PROXY
constexpr uint8_t kTcp4 = 0x11, kTcp6 = 0x21;
constexpr uint8_t kIdentity = 0xd0, kHostname = 0xd1;
constexpr size_t kMostValue = 2048;  // bytes: a SPIFFE URI may have as many, a hostname has fewer

void add_number(std::string& out, size_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value & 0xff);
}

void add_address(std::string& out, const Ip& ip, bool as_v6) {
  constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (as_v6 && !ip.v6) out += kMapped;
  out.append(reinterpret_cast<const char*>(ip.bytes.data()), ip.v6 ? 16 : 4);
}

void add_tlv(std::string& out, uint8_t type, std::string_view value) {
  if (value.empty() || value.size() > kMostValue) return;
  out += static_cast<char>(type);
  add_number(out, value.size());
  out += value;
}

}  // namespace

std::string proxy_header(const SockAddr& source, const SockAddr& target, std::string_view identity,
                         std::string_view hostname) {
  bool v6 = source.ip.v6 || target.ip.v6;
  std::string body;
  add_address(body, source.ip, v6);
  add_address(body, target.ip, v6);
  add_number(body, source.port);
  add_number(body, target.port);
  add_tlv(body, kIdentity, identity);
  add_tlv(body, kHostname, hostname);
  std::string out(kSignature);
  out += static_cast<char>(kProxy);
  out += static_cast<char>(v6 ? kTcp6 : kTcp4);
  add_number(out, body.size());
  return out + body;
}

}  // namespace ambientd::l4

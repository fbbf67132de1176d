// SPDX-License-Identifier: Apache-2.0
#include "core/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace ambientd {
namespace {

template <class Int>
std::optional<Int> parse_number(std::string_view text, int max) {
  int value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return {};
  if (text[0] == '-' || value > max) return {};
  return static_cast<Int>(value);
}

Ip from_v6(const uint8_t* bytes) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  Ip ip;
  if (std::memcmp(bytes, kMapped, sizeof kMapped) == 0) {
    std::copy_n(bytes + 12, 4, ip.bytes.begin());
  } else {
    std::copy_n(bytes, 16, ip.bytes.begin());
    ip.v6 = true;
  }
  return ip;
}

}  // namespace

Ip Ip::v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  Ip ip;
  ip.bytes = {a, b, c, d};
  return ip;
}

Ip Ip::any(bool v6) {
  Ip ip;
  ip.v6 = v6;
  return ip;
}

Ip Ip::loopback(bool v6) {
  if (!v6) return v4(127, 0, 0, 1);
  Ip ip = any(true);
  ip.bytes[15] = 1;
  return ip;
}

bool Ip::is_loopback() const { return v6 ? *this == loopback(true) : bytes[0] == 127; }

bool Ip::is_unspecified() const { return *this == any(v6); }

std::string Ip::str() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

std::optional<Ip> Ip::parse(std::string_view text) {
  char zero_ended[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof zero_ended) return {};
  if (text.find('\0') != text.npos) return {};
  zero_ended[text.copy(zero_ended, text.size())] = 0;
  uint8_t bytes[16];
  if (inet_pton(AF_INET, zero_ended, bytes) == 1) return v4(bytes[0], bytes[1], bytes[2], bytes[3]);
  if (inet_pton(AF_INET6, zero_ended, bytes) == 1) return from_v6(bytes);
  return {};
}

std::string SockAddr::str() const {
  return (ip.v6 ? "[" + ip.str() + "]" : ip.str()) + ":" + std::to_string(port);
}

socklen_t SockAddr::to(sockaddr_storage& out) const {
  std::memset(&out, 0, sizeof out);
  if (ip.v6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, ip.bytes.data(), 16);
    return sizeof v6;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  std::memcpy(&v4.sin_addr, ip.bytes.data(), 4);
  return sizeof v4;
}

std::optional<SockAddr> SockAddr::from(const sockaddr* sa) {
  if (sa->sa_family == AF_INET) {
    const auto& v4 = *reinterpret_cast<const sockaddr_in*>(sa);
    const auto* b = reinterpret_cast<const uint8_t*>(&v4.sin_addr);
    return SockAddr{Ip::v4(b[0], b[1], b[2], b[3]), ntohs(v4.sin_port)};
  }
  if (sa->sa_family == AF_INET6) {
    const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(sa);
    return SockAddr{from_v6(v6.sin6_addr.s6_addr), ntohs(v6.sin6_port)};
  }
  return {};
}

std::optional<SockAddr> SockAddr::parse(std::string_view text) {
  std::optional<HostPort> parts = parse_host_port(text);
  if (!parts) return {};
  std::optional<Ip> ip = Ip::parse(parts->host);
  if (!ip) return {};
  if ((text[0] == '[') != (parts->host.find(':') != std::string::npos)) return {};
  return SockAddr{*ip, parts->port};
}

bool Cidr::contains(const Ip& other) const {
  if (other.v6 != ip.v6) return false;
  int whole = length / 8, rest = length % 8;
  if (!std::equal(ip.bytes.begin(), ip.bytes.begin() + whole, other.bytes.begin())) return false;
  if (rest == 0) return true;
  uint8_t mask = static_cast<uint8_t>(0xff << (8 - rest));
  return (ip.bytes[whole] & mask) == (other.bytes[whole] & mask);
}

std::string Cidr::str() const { return ip.str() + "/" + std::to_string(length); }

std::optional<Cidr> Cidr::parse(std::string_view text) {
  size_t slash = text.find('/');
  std::optional<Ip> ip = Ip::parse(text.substr(0, slash));
  if (!ip) return {};
  if (slash == text.npos) return Cidr{*ip, ip->bits()};
  std::optional<int> length = parse_number<int>(text.substr(slash + 1), ip->bits());
  if (!length) return {};
  return Cidr{*ip, *length};
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return {};
  std::optional<uint16_t> port = parse_number<uint16_t>(text.substr(colon + 1), 65535);
  if (!port) return {};
  std::string_view host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return {};
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == host.npos || !Ip::parse(host))
      return {};  // brackets are for IPv6 (RFC 3986 §3.2.2)
  } else if (host.find(':') != host.npos) {
    return {};
  }
  return HostPort{std::string(host), *port};
}

}  // namespace ambientd

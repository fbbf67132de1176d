// SPDX-License-Identifier: Apache-2.0
// IP addresses, socket addresses and prefixes as plain values: parsed once, compared as bytes, printed the
// way the field prints them (`10.0.0.1:80`, `[::1]:80`). An IPv4-mapped IPv6 address is IPv4 here; make_ip
// and from_sockaddr fold it, so no two values mean one address.
#pragma once

#include <netinet/in.h>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ambientd {

struct Ip {
  std::array<uint8_t, 16> bytes{};  // IPv4 in the first four
  bool v6 = false;

  auto operator<=>(const Ip&) const = default;
  bool operator==(const Ip&) const = default;

  int bits() const { return v6 ? 128 : 32; }
  bool is_loopback() const;     // 127.0.0.0/8 or ::1
  bool is_unspecified() const;  // 0.0.0.0 or ::
  std::string str() const;

  static std::optional<Ip> parse(std::string_view text);
  static Ip v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
  static Ip loopback(bool v6);
  static Ip any(bool v6);
};

struct SockAddr {
  Ip ip;
  uint16_t port = 0;

  auto operator<=>(const SockAddr&) const = default;
  bool operator==(const SockAddr&) const = default;

  std::string str() const;  // `10.0.0.1:80`, `[::1]:80`
  socklen_t to(sockaddr_storage& out) const;

  static std::optional<SockAddr> parse(std::string_view text);  // an IP literal and a port, nothing else
  static std::optional<SockAddr> from(const sockaddr* sa);
};

// A prefix as written: the address is kept unmasked, matching masks it (contract/kubernetes.md §8).
struct Cidr {
  Ip ip;
  int length = 0;  // bits

  bool operator==(const Cidr&) const = default;
  bool contains(const Ip& other) const;  // false across families
  std::string str() const;               // `10.0.0.0/24`

  static std::optional<Cidr> parse(std::string_view text);  // a bare IP is a full-length prefix
};

struct HostPort {
  std::string host;
  uint16_t port = 0;
};

// `host:port` where host is anything without a colon, or a bracketed IPv6 literal (brackets removed).
std::optional<HostPort> parse_host_port(std::string_view text);

}  // namespace ambientd

template <>
struct std::hash<ambientd::Ip> {
  size_t operator()(const ambientd::Ip& ip) const noexcept {
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(ip.bytes.data()), 16}) ^
           (ip.v6 ? 1 : 0);
  }
};
template <>
struct std::hash<ambientd::SockAddr> {
  size_t operator()(const ambientd::SockAddr& a) const noexcept {
    return std::hash<ambientd::Ip>{}(a.ip) * 31 + a.port;
  }
};

// SPDX-License-Identifier: Apache-2.0
#include "config/vip_index.h"

#include <optional>
#include <string>

#include "test/support/catch.h"

namespace ambientd::config {
namespace {

struct Given {
  std::string ns;
  std::string vip;  // an address, or a prefix with its length
  bool canonical = false;
  Visibility visibility = Visibility::everywhere;
};

std::string find(const std::vector<Given>& given, const std::string& ip, const std::string& client_ns) {
  VipIndex index;
  for (const Given& each : given) {
    auto service = std::make_shared<Service>();
    service->ns = each.ns;
    service->canonical = each.canonical;
    service->visibility = each.visibility;
    if (std::optional<Ip> exact = Ip::parse(each.vip)) {
      index.add(*exact, service);
    } else {
      index.add(*Cidr::parse(each.vip), service);
    }
  }
  ServicePtr found = index.find(*Ip::parse(ip), client_ns);
  return found ? found->ns : "none";
}

}  // namespace

TEST_CASE("the service on an address is the client's own, then the canonical one, then the first") {
  struct Case {
    const char* what;
    std::vector<Given> given;
    std::string ip, client_ns, wanted;
  };
  const std::vector<Given> nested = {{"a", "10.0.0.0/8"}, {"b", "10.9.0.0/16"}, {"c", "10.9.1.0/25"}};
  const Case cases[] = {
      {"one", {{"a", "10.9.0.1"}}, "10.9.0.1", "x", "a"},
      {"none there", {{"a", "10.9.0.1"}}, "10.9.0.2", "x", "none"},
      {"shared: the client's", {{"a", "10.9.0.1", true}, {"b", "10.9.0.1"}}, "10.9.0.1", "b", "b"},
      {"shared: canonical", {{"a", "10.9.0.1"}, {"b", "10.9.0.1", true}}, "10.9.0.1", "x", "b"},
      {"shared: the last canonical",
       {{"a", "10.9.0.1", true}, {"b", "10.9.0.1", true}},
       "10.9.0.1",
       "x",
       "b"},
      {"shared: the first", {{"a", "10.9.0.1"}, {"b", "10.9.0.1"}}, "10.9.0.1", "x", "a"},
      {"two of one namespace", {{"a", "10.9.0.1"}, {"a", "10.9.0.1"}}, "10.9.0.1", "a", "a"},
      {"hidden", {{"a", "10.9.0.1", true, Visibility::ns}, {"b", "10.9.0.1"}}, "10.9.0.1", "x", "b"},
      {"hidden, in the open", {{"a", "10.9.0.1", true, Visibility::ns}}, "10.9.0.1", "a", "a"},
      {"no client named sees all", {{"a", "10.9.0.1", false, Visibility::ns}}, "10.9.0.1", "", "a"},
      {"the longest prefix", nested, "10.9.1.3", "x", "c"},
      {"past its end", nested, "10.9.1.200", "x", "b"},
      {"the shortest", nested, "10.1.1.1", "x", "a"},
      {"outside", nested, "11.1.1.1", "x", "none"},
      {"namespace beats length", nested, "10.9.1.3", "a", "a"},
      {"length beats canonical", {{"a", "10.0.0.0/8", true}, {"b", "10.9.0.0/16"}}, "10.9.1.3", "x", "b"},
      {"canonical beats another", {{"a", "10.9.0.0/16", true}, {"b", "10.9.0.0/16"}}, "10.9.1.3", "x", "a"},
      {"exact beats the client's own prefix",
       {{"a", "10.9.0.1"}, {"b", "10.9.0.0/16"}},
       "10.9.0.1",
       "b",
       "a"},
      {"an exact VIP that is hidden does not hide a prefix",
       {{"a", "10.9.0.1", false, Visibility::ns}, {"b", "10.9.0.0/16"}},
       "10.9.0.1",
       "x",
       "b"},
      {"a hidden prefix", {{"a", "10.9.0.0/16", false, Visibility::ns}}, "10.9.1.3", "x", "none"},
      {"a prefix of full length is exact",
       {{"a", "10.9.0.1/32"}, {"b", "10.9.0.0/16"}},
       "10.9.0.1",
       "b",
       "a"},
      {"IPv6, longest", {{"a", "fd00::/16"}, {"b", "fd00:9::/33"}}, "fd00:9:7000::1", "x", "b"},
      {"IPv6, past its end", {{"a", "fd00::/16"}, {"b", "fd00:9::/33"}}, "fd00:9:8000::1", "x", "a"},
      {"everything", {{"a", "0.0.0.0/0"}}, "192.0.2.1", "x", "a"},
      {"of its family", {{"a", "0.0.0.0/0"}}, "fd00::1", "x", "none"},
      {"bits beyond the length do not count", {{"a", "10.9.255.255/16"}}, "10.9.0.7", "x", "a"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(find(c.given, c.ip, c.client_ns) == c.wanted);
  }
}

TEST_CASE("many prefixes of one length are found by one probe each") {
  VipIndex index;
  for (uint8_t a = 0; a < 100; ++a) {
    for (uint8_t b = 0; b < 100; ++b) {
      auto service = std::make_shared<Service>();
      service->ns = std::to_string(a) + "." + std::to_string(b);
      index.add(Cidr{Ip::v4(10, a, b, 0), 24}, service);
    }
  }
  CHECK(index.find(Ip::v4(10, 77, 12, 9), "x")->ns == "77.12");
  CHECK_FALSE(index.find(Ip::v4(10, 200, 12, 9), "x"));
}

}  // namespace ambientd::config

// SPDX-License-Identifier: Apache-2.0
// The headers of a CONNECT, one `name: value` a line: a request that is taken names host and port, and what
// was understood of baggage and forwarded is understood again from our own spelling of it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/ip.h"
#include "core/text.h"
#include "hbone/connect.h"

namespace {

using namespace ambientd;

void expect_true(bool holds) {
  if (!holds) std::abort();
}

hbone::Headers headers_of(std::string_view text) {
  hbone::Headers out;
  for (std::string_view line : split(text, '\n')) {
    size_t colon = line.find(':', 1);  // pseudo headers begin with one
    if (colon == line.npos) continue;
    out.emplace_back(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  }
  return out;
}

void check_baggage(std::string_view value) {
  std::string ours = hbone::Baggage::parse(value).str();
  expect_true(hbone::Baggage::parse(ours).str() == ours);
}

void check_forwarded(std::string_view value) {
  std::optional<std::string> host = hbone::forwarded_host(value);
  if (!host) return;
  std::string ours = hbone::forwarded_for(*SockAddr::parse("10.0.0.1:80"), *host);
  if (ours.size() < 8000) expect_true(hbone::forwarded_host(ours).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  check_baggage(text);
  check_forwarded(text);
  hbone::Headers headers = headers_of(text);
  expect_true(hbone::status_of(headers) >= 0 && hbone::status_of(headers) <= 999);
  Result<hbone::Connect> connect = hbone::Connect::parse(headers);
  if (!connect) return 0;
  std::optional<HostPort> to = parse_host_port(connect->authority);
  expect_true(to && !to->host.empty());
  Result<hbone::Connect> again = hbone::Connect::parse(connect->headers());
  expect_true(again && again->authority == connect->authority && again->baggage == connect->baggage &&
              again->forwarded == connect->forwarded && again->traceparent == connect->traceparent);
  if (connect->baggage) check_baggage(*connect->baggage);
  if (connect->forwarded) check_forwarded(*connect->forwarded);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// What both HTTP/1 fuzz targets hold true: the events do not depend on how the bytes are cut, and a head that
// was read can be written and reads back with the same framing.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/http1.h"
#include "test/support/http1_transcript.h"

namespace ambientd::test {

inline void expect_true(bool holds) {
  if (!holds) std::abort();
}

inline http1::Parser parser_for(http1::Role role, uint8_t options) {
  http1::Parser parser(role, {.section = 512, .fields = 8, .chunk_line = 64, .chunk_extensions = 128});
  parser.expect(options & 1 ? "HEAD" : options & 2 ? "CONNECT" : "GET", (options & 4) != 0);
  return parser;
}

inline void check_round_trip(http1::Role role, uint8_t options, std::string_view bytes) {
  http1::Parser parser = parser_for(role, options);
  Result<http1::Event> event = parser.next(bytes);
  if (!event || !std::holds_alternative<http1::Head>(*event)) return;
  const http1::Head& head = std::get<http1::Head>(*event);
  Result<std::string> written = http1::write_head(head);
  expect_true(written.has_value());
  http1::Parser again(role);
  again.expect(options & 1 ? "HEAD" : options & 2 ? "CONNECT" : "GET", (options & 4) != 0);
  std::string_view rest = *written;
  Result<http1::Event> back = again.next(rest);
  expect_true(back && std::holds_alternative<http1::Head>(*back) && rest.empty());
  const http1::Head& same = std::get<http1::Head>(*back);
  expect_true(same.framing == head.framing && same.length == head.length && same.target == head.target);
}

inline void fuzz_http1(http1::Role role, const uint8_t* data, size_t size) {
  if (size == 0) return;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  http1::Parser whole = parser_for(role, data[0]), single = parser_for(role, data[0]);
  expect_true(transcript(whole, bytes, SIZE_MAX) == transcript(single, bytes, 1));
  check_round_trip(role, data[0], bytes);
}

}  // namespace ambientd::test

// SPDX-License-Identifier: Apache-2.0
// What an HTTP/1 parser made of some bytes, as one text: however the bytes were cut, it must come out the
// same.
#pragma once

#include <string>
#include <string_view>

#include "core/http1.h"

namespace ambientd::test {

// Feeds `bytes` in pieces of `piece` bytes and renders the events, one per line with adjacent body bytes
// joined; ends with `error <status>`, or with `eof: …` for what close() said when `closed`.
std::string transcript(http1::Parser& parser, std::string_view bytes, size_t piece, bool closed = true);

}  // namespace ambientd::test

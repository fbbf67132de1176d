// SPDX-License-Identifier: Apache-2.0
// gzip for answers of the admin ports: a scrape of many series is text that shrinks twentyfold.
#pragma once

#include <string>
#include <string_view>

namespace ambientd {

// Whether an Accept-Encoding value admits gzip: named, or `*`, and not with q=0 (RFC 9110 §12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

std::string gzip(std::string_view text);

}  // namespace ambientd

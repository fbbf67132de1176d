// SPDX-License-Identifier: Apache-2.0
// The grammar of one complete header section, read by Boost.Beast's parser after checks of our own:
// Beast 1.74 tolerates obs-fold and lets a bare CR or a control byte through in places. Framing is http1.cc's
// affair.
#pragma once

#include <string_view>

#include "core/http1.h"
#include "core/result.h"

namespace ambientd::http1 {

// `section` ends with its empty line. Fills method/target/status/reason/version and fields. Error:
// bad_request.
Result<Head> parse_head(Role role, std::string_view section);

// A trailer section: field lines and the empty line. Error: bad_request.
Result<Fields> parse_trailers(std::string_view section);

// Lines of a section, the start line and the empty line included; nothing if one ends with a bare LF.
std::optional<size_t> count_lines(std::string_view section);

// Whether a field (lower case) may stand in trailers: framing and routing must not change after the fact.
bool may_trail(std::string_view name);

bool is_token(std::string_view text);        // RFC 9110 §5.6.2, not empty
bool is_field_value(std::string_view text);  // no control byte but tab

}  // namespace ambientd::http1

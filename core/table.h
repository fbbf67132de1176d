// SPDX-License-Identifier: Apache-2.0
// Columns for people: every cell as wide as its column's widest, the last as it is.
#pragma once

#include <string>
#include <vector>

namespace ambientd {

using Row = std::vector<std::string>;

// One line a row, columns `gap` spaces apart. Control characters in cells come out as `?`: what is printed on
// a terminal may come from somebody else.
std::string align(const std::vector<Row>& rows, size_t gap = 1);

}  // namespace ambientd

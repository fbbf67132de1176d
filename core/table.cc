// SPDX-License-Identifier: Apache-2.0
#include "core/table.h"

#include <algorithm>

namespace ambientd {
namespace {

std::string tame(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, '?');
  return text;
}

}  // namespace

std::string align(const std::vector<Row>& rows, size_t gap) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += tame(row[i]);
      if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + gap, ' ');
    }
    out.push_back('\n');
  }
  return out;
}

}  // namespace ambientd

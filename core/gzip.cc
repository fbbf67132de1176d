// SPDX-License-Identifier: Apache-2.0
#include "core/gzip.h"

#include <zlib.h>

#include <new>

#include "core/text.h"

namespace ambientd {
namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib: the largest window, plus 16 for a gzip header

// Whether one element of the list, `coding;q=0.5`, is `coding` at all, and with a weight above zero.
bool admits(std::string_view element, std::string_view coding) {
  std::vector<std::string_view> parts = split(element, ';');
  if (!equals_ignore_case(trim(parts[0]), coding)) return false;
  for (std::string_view part : parts) {
    std::string_view weight = trim(part);
    if (weight.starts_with("q=0") && weight.find_first_of("123456789") == std::string_view::npos)
      return false;
  }
  return true;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  bool any = false;
  for (std::string_view element : split(accept_encoding, ',')) {
    std::string_view name = trim(element.substr(0, element.find(';')));
    if (equals_ignore_case(name, "gzip")) return admits(element, "gzip");
    any = any || admits(element, "*");
  }
  return any;
}

std::string gzip(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();  // its only failure with these arguments
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);  // deflateBound() made room for all of it
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace ambientd

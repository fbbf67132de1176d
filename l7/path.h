// SPDX-License-Identifier: Apache-2.0
// One spelling for every path, made once before anything looks at it: policy, router, log and upstream read
// the same text, so none can be tricked by another one's spelling. This is the mesh's pathNormalization BASE
// (contract/waypoint.md §3.5): RFC 3986 §6.2.2 with `\` read as `/`; slashes are not merged, %2F and %5C
// stay.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ambientd::l7 {

// `path` is what a client sent: origin form with its query (RFC 9112 §3.2.1), or `*`. Comes back with dot
// segments resolved, escaped unreserved characters decoded, characters a URI may not hold escaped, and the
// fragment gone; the query is not touched. Normalising twice changes nothing. Nothing (answer 400,
// Cause::bad_path): not starting with `/`, a control byte or a space, %00, an overlong UTF-8 form, or a
// broken escape that decoding would turn into another one (`%2%65`).
std::optional<std::string> normalize_path(std::string_view path);

// The byte that an escape at the start of `text` stands for (`%2f…`); nothing when there is none.
std::optional<unsigned char> escaped_byte(std::string_view text);

// Every escape decoded, as a query parameter's name and value are read. A broken escape stays as it is, and
// so does `+`.
std::string percent_decoded(std::string_view text);

// A request target of HTTP/1.1 taken apart (RFC 9112 §3.2). For `/a?b` and `*` only `path` is set; an
// absolute form `http://host/a` has all three and its authority outranks Host. Nothing for anything else,
// CONNECT's form too, and for user information in the authority.
struct RequestTarget {
  std::string scheme, authority, path;
};
std::optional<RequestTarget> split_target(std::string_view target);

}  // namespace ambientd::l7

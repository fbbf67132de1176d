// SPDX-License-Identifier: Apache-2.0
// Configuration text as a stream of small trees: one YAML document at a time, and inside a long top-level
// list (`items` of a kind: List; `workloads`, `services`, `policies` of a local file) one item at a time, so
// that a file of any length needs the memory of its largest object. Every value knows its line.
#pragma once

#include <expected>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace ambientd::config {

// Bounds on what a file may hold; beyond them reading stops with a Fault.
inline constexpr size_t kMaxDepth = 64;
inline constexpr size_t kMaxNodes = 200'000;  // values of one tree, aliases counted as often as they are used
inline constexpr size_t kMaxFileSize = 256 << 20;  // bytes

struct Value {
  enum class Kind : uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool plain = false;             // a scalar without quotes: may be a number, true or false
  int line = 0;                   // from 1
  std::string tag;                // `!Exact`; empty when there is none
  std::string text;               // of a scalar
  std::vector<std::string> keys;  // of a map, each once, in order
  std::vector<Value> values;      // of a map, beside keys; or the elements of a list
  mutable bool read = false;      // some reader asked for it (see Field::refuse_unknown)

  const Value* find(std::string_view key) const;  // in a map; null when it is not there or this is no map
};

struct Document {
  std::string list;  // the top-level list this is an item of; empty for what is left of the document itself
  size_t index = 0;  // of the item in that list
  Value root;
};

struct Fault {
  int line = 0;
  std::string message;
};

enum class Format : uint8_t { yaml, json };

// Calls `each` with every item and document of `in`, in order; the rest of a document comes after its items,
// with its long lists left empty. Empty documents are skipped. Ends at the first Fault: text that does not
// parse, a key that is no scalar or comes twice, a merge key, or a bound that was reached.
std::expected<void, Fault> read_documents(std::istream& in, Format format,
                                          const std::function<void(const Document&)>& each);

}  // namespace ambientd::config

// SPDX-License-Identifier: Apache-2.0
// Builds Values out of parser events, the same way for YAML and JSON, and keeps the bounds of document.h.
// Every call may throw a Fault; the files that drive a parser catch it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"

namespace ambientd::config {

using Anchor = size_t;  // 0: none

class TreeBuilder {
 public:
  explicit TreeBuilder(const std::function<void(const Document&)>& each) : each_(each) {}

  void begin_document();
  void end_document();
  void null(int line, Anchor anchor = 0);
  void scalar(int line, std::string_view text, bool plain, std::string_view tag = {}, Anchor anchor = 0);
  void alias(int line, Anchor anchor);
  void begin(Value::Kind kind, int line, std::string_view tag = {}, Anchor anchor = 0);  // list or map
  void end();

 private:
  struct Open {  // a list or map whose end is still to come
    Value value;
    std::string key;  // the key that waits for its value
    bool has_key = false;
    Anchor anchor = 0;
    std::string streams;  // this list's items go out one by one, under this name
    size_t sent = 0;      // items that went out
  };

  bool wants_key() const;
  void take_key(int line, std::string_view text);
  void add(Value value, Anchor anchor);
  void count(int line, size_t nodes);
  void send(Open& list, Value item);

  const std::function<void(const Document&)>& each_;
  std::vector<Open> open_;
  std::map<Anchor, Value> anchors_;
  size_t nodes_ = 0;         // in the tree being built
  size_t anchor_nodes_ = 0;  // kept for aliases
};

}  // namespace ambientd::config

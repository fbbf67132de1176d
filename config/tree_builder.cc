// SPDX-License-Identifier: Apache-2.0
#include "config/tree_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text.h"

namespace ambientd::config {
namespace {

constexpr std::array<std::string_view, 4> kLongLists = {"items", "workloads", "services", "policies"};

size_t size_of(const Value& value) {
  size_t nodes = 1;
  for (const Value& child : value.values) nodes += size_of(child);
  return nodes;
}

void refuse_double_keys(const Value& map) {
  std::vector<std::string_view> keys(map.keys.begin(), map.keys.end());
  std::ranges::sort(keys);
  auto twice = std::ranges::adjacent_find(keys);
  if (twice != keys.end()) throw Fault{map.line, fmt::format("the key {} is there twice", quoted(*twice))};
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  auto at = std::ranges::find(keys, key);
  return at == keys.end() ? nullptr : &values[static_cast<size_t>(at - keys.begin())];
}

void TreeBuilder::begin_document() {
  open_.clear();
  anchors_.clear();
  nodes_ = anchor_nodes_ = 0;
}

void TreeBuilder::end_document() { open_.clear(); }

void TreeBuilder::count(int line, size_t nodes) {
  nodes_ += nodes;
  if (nodes_ > kMaxNodes)
    throw Fault{line,
                fmt::format("one object has more than {} values (aliases count as often as they are used)",
                            kMaxNodes)};
}

bool TreeBuilder::wants_key() const {
  return !open_.empty() && open_.back().value.kind == Value::Kind::map && !open_.back().has_key;
}

void TreeBuilder::take_key(int line, std::string_view text) {
  if (text == "<<") throw Fault{line, "merge keys (<<) are not supported: write the fields out"};
  open_.back().key = text;
  open_.back().has_key = true;
}

void TreeBuilder::null(int line, Anchor anchor) {
  if (wants_key()) throw Fault{line, "a key is empty"};
  count(line, 1);
  Value value;
  value.line = line;
  add(std::move(value), anchor);
}

void TreeBuilder::scalar(int line, std::string_view text, bool plain, std::string_view tag, Anchor anchor) {
  if (wants_key()) return take_key(line, text);
  count(line, 1);
  Value value;
  value.kind = Value::Kind::scalar;
  value.line = line;
  value.plain = plain;
  value.text = text;
  value.tag = tag;
  add(std::move(value), anchor);
}

void TreeBuilder::alias(int line, Anchor anchor) {
  auto at = anchors_.find(anchor);
  if (at == anchors_.end()) throw Fault{line, "an alias refers to a value that is not complete here"};
  if (wants_key()) throw Fault{line, "an alias cannot be a key"};
  count(line, size_of(at->second));
  add(at->second, 0);
}

void TreeBuilder::begin(Value::Kind kind, int line, std::string_view tag, Anchor anchor) {
  if (wants_key()) throw Fault{line, "a key must be a word, not a list or a map"};
  if (open_.size() >= kMaxDepth) throw Fault{line, fmt::format("nested deeper than {} levels", kMaxDepth)};
  count(line, 1);
  Open next;
  next.value.kind = kind;
  next.value.line = line;
  next.value.tag = tag;
  next.anchor = anchor;
  bool top_level = open_.size() == 1 && open_.front().value.kind == Value::Kind::map;
  if (top_level && kind == Value::Kind::list &&
      std::ranges::find(kLongLists, open_.front().key) != kLongLists.end())
    next.streams = open_.front().key;
  open_.push_back(std::move(next));
}

void TreeBuilder::end() {
  Open done = std::move(open_.back());
  open_.pop_back();
  if (done.value.kind == Value::Kind::map) refuse_double_keys(done.value);
  add(std::move(done.value), done.anchor);
}

void TreeBuilder::add(Value value, Anchor anchor) {
  if (anchor != 0) {
    anchor_nodes_ += size_of(value);
    if (anchor_nodes_ > kMaxNodes) throw Fault{value.line, "too many anchored values"};
    anchors_[anchor] = value;
  }
  if (open_.empty()) {
    if (value.kind != Value::Kind::null) each_(Document{{}, 0, std::move(value)});
    return;
  }
  Open& parent = open_.back();
  if (!parent.streams.empty()) return send(parent, std::move(value));
  if (parent.value.kind == Value::Kind::map) parent.value.keys.push_back(std::move(parent.key));
  parent.has_key = false;
  parent.key.clear();
  parent.value.values.push_back(std::move(value));
}

void TreeBuilder::send(Open& list, Value item) {
  nodes_ -= std::min(nodes_, size_of(item));
  each_(Document{list.streams, list.sent++, std::move(item)});
}

}  // namespace ambientd::config

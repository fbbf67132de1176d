// SPDX-License-Identifier: Apache-2.0
// An intrusive doubly linked list: members live inside their owners and leave by themselves when they die.
// The rule: a member is in at most one List of its kind at a time.
#pragma once

#include <cstddef>

namespace ambientd {

template <class T>
class List;

template <class T>
class Listed {
 public:
  Listed() = default;
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;
  ~Listed() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!next_) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  friend class List<T>;
  Listed* next_ = nullptr;
  Listed* prev_ = nullptr;
};

template <class T>
class List {
 public:
  List() { head_.next_ = head_.prev_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    while (!empty()) head_.next_->unlink();
    head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() { return static_cast<T&>(*head_.next_); }
  void push_back(T& member) {
    Listed<T>& node = member;
    node.unlink();
    node.prev_ = head_.prev_;
    node.next_ = &head_;
    head_.prev_->next_ = &node;
    head_.prev_ = &node;
  }
  // Takes all members over from `other`, in order.
  void take(List& other) {
    while (!other.empty()) push_back(other.front());
  }

  // Visits every member; `visit` may unlink the member it is given, no other.
  template <class F>
  void each(F visit) {
    for (Listed<T>* node = head_.next_; node != &head_;) {
      Listed<T>* after = node->next_;
      visit(static_cast<T&>(*node));
      node = after;
    }
  }
  size_t size() const {
    size_t n = 0;
    for (const Listed<T>* node = head_.next_; node != &head_; node = node->next_) ++n;
    return n;
  }

 private:
  Listed<T> head_;
};

}  // namespace ambientd

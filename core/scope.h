// SPDX-License-Identifier: Apache-2.0
// A Scope lists what one story can wait for. Closing it closes all of that, so every pending await resolves
// and the story unwinds by itself: deadline, drain, revocation, policy change and a hang-up all end a story
// this way. A Closable that joins a closed scope is closed at once. Nothing here owns anything.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/list.h"
#include "core/result.h"

namespace ambientd {

class Closable : public Listed<Closable> {
 public:
  // Ends it: pending and later waits resolve with `why`. May be called more than once; the first reason
  // counts.
  virtual void close(Errc why) = 0;

 protected:
  ~Closable() = default;
};

class Scope {
 public:
  void add(Closable& member) {
    if (why_) {
      member.close(why_->code);
    } else {
      members_.push_back(member);
    }
  }

  void close(Error why) {
    if (why_) return;
    why_ = std::make_unique<Error>(std::move(why));
    members_.each([this](Closable& member) { member.close(why_->code); });
  }

  bool closed() const { return why_ != nullptr; }
  const Error* why() const { return why_.get(); }  // null while it is open

  // What a wait that ended with `error` really means: the scope's own reason where the scope ended it.
  Error explain(Error error) const {
    if (why_) return *why_;
    return error;
  }
  // The same for what a wait returned, in place: a coroutine's frame has room for every temporary.
  template <class T>
  void explain(Result<T>& waited) const {
    if (!waited && why_) waited.error() = *why_;
  }

 private:
  std::unique_ptr<const Error> why_;
  List<Closable> members_;
};

// A scope inside another: it ends with the outer one, and can end before.
struct InnerScope final : Closable {
  explicit InnerScope(Scope& outer) { outer.add(*this); }
  void close(Errc why) override { scope.close({why, std::string(name(why))}); }
  Scope scope;
};

}  // namespace ambientd

// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>

#include "config/parsers.h"

namespace ambientd::config {
namespace {

std::string_view local_tag(const std::string& tag) {  // `!` alone marks a quoted scalar, `?` a plain one
  return tag.size() > 1 && tag[0] == '!' ? std::string_view(tag) : std::string_view();
}

bool says_null(const std::string& text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

class Events final : public YAML::EventHandler {
 public:
  explicit Events(TreeBuilder& builder) : builder_(builder) {}

  // On a token that can begin nothing (a stray comma) the parser stays where it is and finds an empty
  // document there, again and again.
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos <= last_start_) throw Fault{line(mark), "this is not YAML: a value cannot begin like this"};
    last_start_ = mark.pos;
    builder_.begin_document();
  }
  void OnDocumentEnd() override { builder_.end_document(); }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { builder_.null(line(mark), anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override { builder_.alias(line(mark), anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    bool plain = tag == "?" || tag.empty();
    if (plain && says_null(value)) return builder_.null(line(mark), anchor);
    builder_.scalar(line(mark), value, plain, local_tag(tag), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    builder_.begin(Value::Kind::list, line(mark), local_tag(tag), anchor);
  }
  void OnSequenceEnd() override { builder_.end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    builder_.begin(Value::Kind::map, line(mark), local_tag(tag), anchor);
  }
  void OnMapEnd() override { builder_.end(); }

 private:
  static int line(const YAML::Mark& mark) { return mark.line + 1; }
  TreeBuilder& builder_;
  int last_start_ = -1;  // byte at which the previous document began
};

}  // namespace

std::expected<void, Fault> read_yaml(std::istream& in, TreeBuilder& builder) {
  try {
    YAML::Parser parser(in);
    Events events(builder);
    while (parser.HandleNextDocument(events)) {
    }
    return {};
  } catch (const Fault& fault) {
    return std::unexpected(fault);
  } catch (const YAML::Exception& e) {
    return std::unexpected(Fault{e.mark.is_null() ? 0 : e.mark.line + 1, "this is not YAML: " + e.msg});
  }
}

std::expected<void, Fault> read_documents(std::istream& in, Format format,
                                          const std::function<void(const Document&)>& each) {
  TreeBuilder builder(each);
  return format == Format::json ? read_json(in, builder) : read_yaml(in, builder);
}

}  // namespace ambientd::config

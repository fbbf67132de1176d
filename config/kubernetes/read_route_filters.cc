// SPDX-License-Identifier: Apache-2.0
// The filters of Gateway API routes (contract/waypoint.md §2.1). One that we cannot honour makes what it
// applies to answer 500 rather than pass requests on unchanged.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "config/kubernetes/read.h"
#include "config/kubernetes/read_route.h"
#include "core/http1_grammar.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

constexpr uint64_t kMaxAgeS = 5;  // of CORS, where nothing is said (Gateway API)

std::vector<std::pair<std::string, std::string>> read_pairs(const Field& list) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Field& field : list.each()) {
    std::string value = field["value"].text();
    if (!http1::is_field_value(value)) field["value"].error("holds a control character");
    out.emplace_back(read_header_name(field.need("name")), std::move(value));
  }
  return out;
}

void read_header_ops(const Field& field, HeaderOps* out) {
  auto append = [](auto& to, auto&& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(out->set, read_pairs(field["set"]));
  append(out->add, read_pairs(field["add"]));
  for (const Field& name : field["remove"].each()) out->remove.push_back(read_header_name(name));
}

bool is_path(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

std::optional<PathChange> read_path_change(const Field& field) {
  if (!field) return {};
  using Kind = PathChange::Kind;
  PathChange out;
  out.kind = field.need("type").choice<Kind>(
      {{"ReplaceFullPath", Kind::whole}, {"ReplacePrefixMatch", Kind::prefix}}, Kind::whole);
  Field text = field.need(out.kind == Kind::whole ? "replaceFullPath" : "replacePrefixMatch");
  out.text = text.text();
  bool begins = out.text.starts_with('/') || (out.text.empty() && out.kind == Kind::prefix);
  if (text && (!begins || !is_path(out.text)))
    text.error("must be a path that begins with /, not " + quoted(out.text));
  return out;
}

std::string read_hostname(const Field& field) {
  std::string host = field.text();
  bool good = std::ranges::all_of(host, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
  });
  if (!good || host.size() > 253) field.error("must be a host name, not " + quoted(host));
  return host;
}

// Without a port of its own: the given scheme's, else the one that was called.
Redirect read_redirect(const Field& field) {
  Redirect out;
  out.scheme = field["scheme"].choice<std::string>({{"http", "http"}, {"https", "https"}}, "");
  out.authority = read_hostname(field["hostname"]);
  out.path = read_path_change(field["path"]);
  out.port_from = out.scheme.empty() ? Redirect::Port::of_request : Redirect::Port::of_scheme;
  if (std::optional<uint16_t> port = field["port"].port()) {
    out.port_from = Redirect::Port::given;
    out.port = *port;
  }
  out.status = field["statusCode"].choice<int>(
      {{"301", 301}, {"302", 302}, {"303", 303}, {"307", 307}, {"308", 308}}, 302);
  return out;
}

Rewrite read_rewrite(const Field& field) {
  return {.authority = read_hostname(field["hostname"]), .path = read_path_change(field["path"])};
}

// `*` stands for any text in an origin.
StringMatch read_origin(const Field& field) {
  std::string text = field.text();
  if (!text.contains('*')) return {.value = std::move(text), .regex = {}};
  std::string pattern;
  for (std::string_view part : split(text, '*'))
    pattern.append(part.data() == text.data() ? "" : ".*").append(Regex::escaped(part));
  StringMatch out{.kind = StringMatch::Kind::regex, .value = pattern, .regex = Regex::compile(pattern)};
  if (!out.regex) field.error("is too large: " + quoted(text));
  return out;
}

std::vector<std::string> read_tokens(const Field& list) {
  std::vector<std::string> out = list.texts();
  if (!std::ranges::all_of(out, http1::is_token)) list.error("must hold methods or header names, or *");
  return out;
}

Cors read_cors(const Field& field) {
  Cors out;
  for (const Field& origin : field["allowOrigins"].each()) out.allow_origins.push_back(read_origin(origin));
  out.allow_methods = read_tokens(field["allowMethods"]);
  out.allow_headers = read_tokens(field["allowHeaders"]);
  out.expose_headers = read_tokens(field["exposeHeaders"]);
  out.max_age_s = field["maxAge"].number(0, UINT32_MAX).value_or(kMaxAgeS);
  out.allow_credentials = field["allowCredentials"].flag();
  return out;
}

void read_filter(const Field& filter, RouteFilters* out) {
  std::string type = filter.need_text("type");
  auto once = [&](bool first) {
    if (!first) filter.error("is the second " + type + " of its rule: one is all it can have");
  };
  if (type == "RequestHeaderModifier") {
    read_header_ops(filter["requestHeaderModifier"], &out->request_headers);
  } else if (type == "ResponseHeaderModifier") {
    read_header_ops(filter["responseHeaderModifier"], &out->response_headers);
  } else if (type == "RequestRedirect") {
    once(!out->redirect);
    out->redirect = read_redirect(filter.need("requestRedirect"));
  } else if (type == "URLRewrite") {
    once(!out->rewrite);
    out->rewrite = read_rewrite(filter.need("urlRewrite"));
  } else if (type == "CORS") {
    once(!out->cors);
    out->cors = read_cors(filter.need("cors"));
  } else {
    filter.warn("filter " + type + " is not supported yet: what it applies to is answered 500");
    filter.ignore();
    out->refused = true;
  }
}

}  // namespace

RouteFilters read_filters(const Field& filters) {
  RouteFilters out;
  for (const Field& filter : filters.each()) read_filter(filter, &out);
  return out;
}

}  // namespace ambientd::config::kubernetes

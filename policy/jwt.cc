// SPDX-License-Identifier: Apache-2.0
#include "policy/jwt.h"

#include <algorithm>
#include <limits>

#include "core/text.h"

namespace ambientd::policy {
namespace {

using Kind = Json::Kind;
using Checked = std::expected<void, JwtFault>;

std::unexpected<JwtFault> refuse(JwtFault fault) { return std::unexpected(fault); }

std::optional<Json> parse_object(std::string_view text) {
  std::optional<Json> json = parse_json(text);
  return json && json->is(Kind::object) ? std::move(json) : std::nullopt;
}

// Absent reads as empty.
Checked take_text(const Json& from, std::string_view name, JwtFault fault, std::string* out) {
  const Json* member = from.find(name);
  if (!member) return {};
  if (!member->is(Kind::string)) return refuse(fault);
  *out = member->text;
  return {};
}

struct TimeFaults {
  JwtFault not_number, out_of_range;
};

// NumericDate (RFC 7519 §2) may have a fraction, which counts for nothing here.
Checked take_time(const Json& payload, std::string_view name, TimeFaults faults,
                  std::optional<uint64_t>* out) {
  constexpr double kEnd = 18446744073709551616.0;  // 2^64
  const Json* member = payload.find(name);
  if (!member) return {};
  if (!member->is(Kind::integer) && !member->is(Kind::number)) return refuse(faults.not_number);
  if (!(member->number >= 0 && member->number < kEnd)) return refuse(faults.out_of_range);
  *out = member->is(Kind::integer) ? static_cast<uint64_t>(member->integer)
                                   : static_cast<uint64_t>(member->number);
  return {};
}

Checked take_audiences(const Json& payload, std::vector<std::string>* out) {
  const Json* member = payload.find("aud");
  if (!member) return {};
  if (member->is(Kind::string)) {
    out->push_back(member->text);
    return {};
  }
  if (!member->is(Kind::list)) return refuse(JwtFault::aud_not_texts);
  for (const Json& each : member->values) {
    if (!each.is(Kind::string)) return refuse(JwtFault::aud_not_texts);
    out->push_back(each.text);
  }
  return {};
}

Checked read_header(std::string_view encoded, Jwt* out) {
  std::optional<std::string> text = from_base64url(encoded);
  if (!text) return refuse(JwtFault::header_not_base64);
  std::optional<Json> header = parse_object(*text);
  if (!header) return refuse(JwtFault::header_not_json);
  std::optional<std::string_view> name = header->text_of("alg");
  if (!name) return refuse(JwtFault::alg_missing);
  std::optional<JwsAlgorithm> algorithm = parse_jws_algorithm(*name);
  if (!algorithm) return refuse(JwtFault::alg_unsupported);
  out->algorithm = *algorithm;
  out->critical = header->find("crit") != nullptr;
  return take_text(*header, "kid", JwtFault::kid_not_text, &out->key_id);
}

Checked read_times(Jwt* out) {
  const Json& payload = out->payload;
  std::optional<uint64_t> issued;  // only its form counts
  Checked read = take_time(payload, "iat", {JwtFault::iat_not_number, JwtFault::iat_out_of_range}, &issued);
  if (read)
    read =
        take_time(payload, "nbf", {JwtFault::nbf_not_number, JwtFault::nbf_out_of_range}, &out->not_before);
  if (read)
    read = take_time(payload, "exp", {JwtFault::exp_not_number, JwtFault::exp_out_of_range}, &out->expires);
  return read;
}

Checked read_payload(std::string_view encoded, Jwt* out) {
  std::optional<std::string> text = from_base64url(encoded);
  if (!text) return refuse(JwtFault::payload_not_base64);
  std::optional<Json> payload = parse_object(*text);
  if (!payload) return refuse(JwtFault::payload_not_json);
  out->payload = std::move(*payload);
  std::string token_id;  // only its form counts
  Checked read = take_text(out->payload, "iss", JwtFault::iss_not_text, &out->issuer);
  if (read) read = take_text(out->payload, "sub", JwtFault::sub_not_text, &out->subject);
  if (read) read = read_times(out);
  if (read) read = take_text(out->payload, "jti", JwtFault::jti_not_text, &token_id);
  if (read) read = take_audiences(out->payload, &out->audiences);
  return read;
}

// Envoy compares audiences without http:// or https:// in front and without one slash at the end.
std::string_view bare(std::string_view audience) {
  for (std::string_view scheme : {"http://", "https://"})
    if (audience.starts_with(scheme)) {
      audience.remove_prefix(scheme.size());
      break;
    }
  if (audience.ends_with('/')) audience.remove_suffix(1);
  return audience;
}

bool is_for(const JwtRule& rule, const Jwt& jwt) {
  if (rule.audiences.empty()) return true;
  return std::ranges::any_of(jwt.audiences, [&](std::string_view has) {
    return std::ranges::any_of(rule.audiences, [&](std::string_view may) { return bare(has) == bare(may); });
  });
}

uint64_t add(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b ? std::numeric_limits<uint64_t>::max() : a + b;
}

// By id and declared algorithm; whether the key fits the algorithm is another question.
bool is_meant(const Jwk& key, const Jwt& jwt) {
  if (!jwt.key_id.empty() && !key.id.empty() && key.id != jwt.key_id) return false;
  return !key.algorithm || *key.algorithm == jwt.algorithm;
}

}  // namespace

std::string_view text(JwtFault fault) {
  switch (fault) {
    case JwtFault::bad_form:
      return "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
    case JwtFault::header_not_base64:
      return "Jwt header is an invalid Base64url encoded";
    case JwtFault::header_not_json:
      return "Jwt header is an invalid JSON";
    case JwtFault::alg_missing:
      return "Jwt header [alg] field is required and must be a string";
    case JwtFault::alg_unsupported:
      return "Jwt header [alg] is not supported";
    case JwtFault::kid_not_text:
      return "Jwt header [kid] field is not a string";
    case JwtFault::payload_not_base64:
      return "Jwt payload is an invalid Base64url encoded";
    case JwtFault::payload_not_json:
      return "Jwt payload is an invalid JSON";
    case JwtFault::iss_not_text:
      return "Jwt payload [iss] field is not a string";
    case JwtFault::sub_not_text:
      return "Jwt payload [sub] field is not a string";
    case JwtFault::jti_not_text:
      return "Jwt payload [jti] field is not a string";
    case JwtFault::aud_not_texts:
      return "Jwt payload [aud] field is not a string or string list";
    case JwtFault::iat_not_number:
      return "Jwt payload [iat] field is not an integer";
    case JwtFault::nbf_not_number:
      return "Jwt payload [nbf] field is not an integer";
    case JwtFault::exp_not_number:
      return "Jwt payload [exp] field is not an integer";
    case JwtFault::iat_out_of_range:
      return "Jwt payload [iat] field is not a positive 64 bit integer";
    case JwtFault::nbf_out_of_range:
      return "Jwt payload [nbf] field is not a positive 64 bit integer";
    case JwtFault::exp_out_of_range:
      return "Jwt payload [exp] field is not a positive 64 bit integer";
    case JwtFault::signature_not_base64:
      return "Jwt signature is an invalid Base64url encoded";
    case JwtFault::unknown_issuer:
      return "Jwt issuer is not configured";
    case JwtFault::not_yet_valid:
      return "Jwt not yet valid";
    case JwtFault::expired:
      return "Jwt is expired";
    case JwtFault::audience:
      return "Audiences in Jwt are not allowed";
    case JwtFault::signature_length:
      return "Jwt ED25519 signature is wrong length";
    case JwtFault::signature:
      return "Jwt verification fails";
    case JwtFault::no_matching_key:
      return "Jwks doesn't have key to match kid or alg from Jwt";
    case JwtFault::no_valid_key:
      return "Jwks doesn't have any valid public key";
    case JwtFault::fetch_failed:
      return "Jwks remote fetch is failed";
  }
  return "";
}

int status(JwtFault fault) { return fault == JwtFault::audience ? 403 : 401; }

std::string_view Jwt::encoded_payload() const {
  return std::string_view(signed_text).substr(signed_text.find('.') + 1);
}

std::expected<Jwt, JwtFault> Jwt::parse(std::string_view token) {
  std::vector<std::string_view> parts =
      token.size() <= kMaxToken ? split(token, '.') : std::vector<std::string_view>();
  if (parts.size() != 3 || std::ranges::any_of(parts, &std::string_view::empty))
    return refuse(JwtFault::bad_form);
  Jwt out;
  Checked read = read_header(parts[0], &out);
  if (read) read = read_payload(parts[1], &out);
  if (!read) return refuse(read.error());
  std::optional<std::string> signature = from_base64url(parts[2]);
  if (!signature) return refuse(JwtFault::signature_not_base64);
  out.signature = std::move(*signature);
  out.signed_text = token.substr(0, parts[0].size() + 1 + parts[1].size());
  return out;
}

std::expected<void, JwtFault> check_claims(const Jwt& jwt, const JwtRule& rule, uint64_t now) {
  if (jwt.issuer != rule.issuer) return refuse(JwtFault::unknown_issuer);
  if (jwt.not_before && add(now, kClockSkewSeconds) < *jwt.not_before) return refuse(JwtFault::not_yet_valid);
  if (jwt.expires && now > add(*jwt.expires, kClockSkewSeconds)) return refuse(JwtFault::expired);
  if (!is_for(rule, jwt)) return refuse(JwtFault::audience);
  return {};
}

std::expected<void, JwtFault> check_signature(const Jwt& jwt, const Jwks& keys) {
  constexpr size_t kEd25519Signature = 64;
  if (jwt.critical) return refuse(JwtFault::signature);  // RFC 7515 §4.1.11
  bool found = false;
  for (const Jwk& key : keys.keys) {
    if (!is_meant(key, jwt)) continue;
    found = true;
    if (!fits(key.key.family, jwt.algorithm)) continue;
    if (jwt.algorithm == JwsAlgorithm::eddsa && jwt.signature.size() != kEd25519Signature)
      return refuse(JwtFault::signature_length);
    if (verify_signature(key.key, jwt.algorithm, jwt.signed_text, jwt.signature)) return {};
  }
  return refuse(found ? JwtFault::signature : JwtFault::no_matching_key);
}

}  // namespace ambientd::policy

// SPDX-License-Identifier: Apache-2.0
#include "l7/outcome.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

namespace {

Request request(std::string method, bool grpc = false) {
  Request out;
  out.method = std::move(method);
  if (grpc) add_field(out.fields, "content-type", "application/grpc");
  return out;
}

}  // namespace

TEST_CASE("each cause has its status, body, flag and details") {
  const std::string reset = "upstream connect error or disconnect/reset before headers. reset reason: ";
  const std::string early = "upstream_reset_before_response_started";
  struct Case {
    Cause cause;
    int status;
    std::string body, flags, details;
  };
  const std::vector<Case> cases{
      {Cause::bad_request, 400, "Bad Request", "DPE", "http1.codec_error"},
      {Cause::bad_connection_header, 400, "Bad Request", "DPE", "http1.connection_header_rejected"},
      {Cause::bad_path, 400, "", "-", "path_normalization_failed"},
      {Cause::missing_host, 400, "", "-", "missing_host_header"},
      {Cause::low_version, 426, "", "-", "low_version"},
      {Cause::bad_transfer_encoding, 501, "Not Implemented", "DPE", "http1.invalid_transfer_encoding"},
      {Cause::headers_too_large, 431, "", "DPE", "http1.headers_too_large"},
      {Cause::too_many_headers, 431, "", "DPE", "http1.too_many_headers"},
      {Cause::upgrade_refused, 403, "", "-", "upgrade_failed"},
      {Cause::denied, 403, "RBAC: access denied", "-", "rbac_access_denied_matched_policy[none]"},
      {Cause::bad_token, 401, "Jwt verification fails", "-", "jwt_authn_access_denied"},
      {Cause::other_audience, 403, "Audiences in Jwt are not allowed", "-", "jwt_authn_access_denied"},
      {Cause::no_route, 404, "", "NR", "route_not_found"},
      {Cause::no_cluster, 500, "", "NC", "cluster_not_found"},
      {Cause::no_healthy_upstream, 503, "no healthy upstream", "UH", "no_healthy_upstream"},
      {Cause::overflow, 503, reset + "overflow", "UO", early + "{overflow}"},
      {Cause::connect_failed, 503, reset + "remote connection failure", "UF",
       early + "{remote_connection_failure}"},
      {Cause::connect_timed_out, 503, reset + "connection timeout", "UF", early + "{connection_timeout}"},
      {Cause::upstream_closed, 503, reset + "connection termination", "UC",
       early + "{connection_termination}"},
      {Cause::upstream_reset, 503, reset + "remote reset", "UR", early + "{remote_reset}"},
      {Cause::upstream_refused, 503, reset + "remote refused stream reset", "UR",
       early + "{remote_refused_stream_reset}"},
      {Cause::local_reset, 503, reset + "local reset", "LR", early + "{local_reset}"},
      {Cause::upstream_protocol_error, 502, reset + "protocol error", "UPE", early + "{protocol_error}"},
      {Cause::response_timed_out, 504, "upstream request timeout", "UT", "response_timeout"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.details);
    LocalReply reply = local_reply(c.cause, request("GET"));
    CHECK(reply.response.status == c.status);
    CHECK(reply.body == c.body);
    CHECK(reply.flags == c.flags);
    CHECK(reply.details == c.details);
    CHECK(reply.response.content_length == c.body.size());
    CHECK(reply.response.has_body == !c.body.empty());
    CHECK(http1::find(reply.response.fields, "content-length") == std::to_string(c.body.size()));
    CHECK(http1::find(reply.response.fields, "content-type").value_or("") ==
          (c.body.empty() ? "" : "text/plain"));
    CHECK(http1::find(reply.response.fields, "x-envoy-overloaded").has_value() ==
          (c.cause == Cause::overflow));
  }
}

TEST_CASE("a client that is gone gets nothing but a log line") {
  LocalReply reply = local_reply(Cause::client_gone, request("GET"));
  CHECK(reply.response.status == 0);
  CHECK(reply.response.fields.empty());
  CHECK(reply.body.empty());
  CHECK(reply.flags == "DC");
  CHECK(reply.details == "downstream_remote_disconnect");
}

TEST_CASE("a failed dial says why, in the body and in the details") {
  LocalReply reply = local_reply(Cause::connect_failed, request("GET"),
                                 {.details = {}, .transport_failure = "TLS_error: bad certificate"});
  CHECK(reply.body ==
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, "
        "transport failure reason: TLS_error: bad certificate");
  CHECK(reply.details ==
        "upstream_reset_before_response_started{remote_connection_failure|TLS_error:_bad_certificate}");
}

TEST_CASE("a dial that timed out does not tell the client about our network") {
  LocalReply reply = local_reply(Cause::connect_timed_out, request("GET"),
                                 {.details = {}, .transport_failure = "connect 10.0.0.7:15008: timed out"});
  CHECK(reply.body.ends_with("reset reason: connection timeout"));
  CHECK(reply.details == "upstream_reset_before_response_started{connection_timeout}");
}

TEST_CASE("used up retries are told") {
  LocalReply reply = local_reply(Cause::upstream_closed, request("GET"),
                                 {.details = {}, .transport_failure = {}, .retried = true});
  CHECK(reply.body ==
        "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
        "connection termination");
  CHECK(reply.flags == "UC,URX");
}

TEST_CASE("a denial names its policy in the details only") {
  LocalReply reply = local_reply(
      Cause::denied, request("GET"),
      {.details = "rbac_access_denied_matched_policy[ns[a]-policy[b c]-rule[0]]", .transport_failure = {}});
  CHECK(reply.body == "RBAC: access denied");
  CHECK(reply.body.size() == 19);
  CHECK(reply.details == "rbac_access_denied_matched_policy[ns[a]-policy[b_c]-rule[0]]");
}

TEST_CASE("HEAD is told about a body it does not get") {
  LocalReply reply = local_reply(Cause::denied, request("HEAD"));
  CHECK(reply.response.status == 403);
  CHECK(reply.body.empty());
  CHECK(!reply.response.has_body);
  CHECK(reply.response.fields == Fields{{"content-length", "19"}, {"content-type", "text/plain"}});
}

TEST_CASE("gRPC is answered in its own terms") {
  LocalReply reply = local_reply(Cause::denied, request("POST", true));
  CHECK(reply.response.status == 200);
  CHECK(!reply.response.has_body);
  CHECK(reply.body.empty());
  CHECK(reply.response.fields == Fields{{"content-type", "application/grpc"},
                                        {"grpc-status", "7"},
                                        {"grpc-message", "RBAC: access denied"}});
  CHECK(local_reply(Cause::no_route, request("POST", true)).response.fields ==
        Fields{{"content-type", "application/grpc"}, {"grpc-status", "12"}});
  struct Case {
    int http, grpc;
  };
  for (const Case& c : std::vector<Case>{{400, 13},
                                         {401, 16},
                                         {403, 7},
                                         {404, 12},
                                         {429, 14},
                                         {500, 2},
                                         {502, 14},
                                         {503, 14},
                                         {504, 14},
                                         {418, 2}})
    CHECK(grpc_status_of(c.http) == c.grpc);
}

TEST_CASE("a grpc-message is visible ASCII") {
  CHECK(percent_encoded("100% of \xc3\xa9\n~") == "100%25 of %C3%A9%0A~");
}

TEST_CASE("after the response began only its details tell") {
  CHECK(late_details(Cause::upstream_closed) ==
        "upstream_reset_after_response_started{connection_termination}");
  CHECK(late_details(Cause::client_gone) == "downstream_remote_disconnect");
}

TEST_CASE("what ended an attempt decides the cause") {
  struct Case {
    Errc code;
    Cause dialling, connection, stream;
  };
  const std::vector<Case> cases{
      {Errc::connect_refused, Cause::connect_failed, Cause::upstream_closed, Cause::upstream_reset},
      {Errc::tls, Cause::connect_failed, Cause::upstream_closed, Cause::upstream_reset},
      {Errc::http_status, Cause::connect_failed, Cause::upstream_closed, Cause::upstream_reset},
      {Errc::reset, Cause::connect_failed, Cause::upstream_closed, Cause::upstream_reset},
      {Errc::eof, Cause::connect_failed, Cause::upstream_closed, Cause::upstream_reset},
      {Errc::hbone_timed_out, Cause::connect_timed_out, Cause::response_timed_out, Cause::response_timed_out},
      {Errc::timed_out, Cause::connect_timed_out, Cause::response_timed_out, Cause::response_timed_out},
      {Errc::refused_stream, Cause::connect_failed, Cause::upstream_refused, Cause::upstream_refused},
      {Errc::bad_request, Cause::connect_failed, Cause::upstream_protocol_error,
       Cause::upstream_protocol_error},
      {Errc::overloaded, Cause::overflow, Cause::local_reset, Cause::local_reset},
      {Errc::closed, Cause::local_reset, Cause::local_reset, Cause::local_reset},
      {Errc::no_healthy_upstream, Cause::no_healthy_upstream, Cause::no_healthy_upstream,
       Cause::no_healthy_upstream},
  };
  for (const Case& c : cases) {
    CAPTURE(name(c.code));
    Error error{c.code, ""};
    CHECK(cause_of(error, Attempt::dialling) == c.dialling);
    CHECK(cause_of(error, Attempt::connection) == c.connection);
    CHECK(cause_of(error, Attempt::stream) == c.stream);
  }
}

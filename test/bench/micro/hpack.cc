// SPDX-License-Identifier: Apache-2.0
#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdlib>
#include <span>

#include "hbone/connect.h"
#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

using hbone::Headers;

// Only authority, forwarded and traceparent differ from tunnel to tunnel of one connection.
hbone::Connect request(uint64_t i) {
  hbone::Connect out{"10.77.2.10:8080", {}, {}, {}, {}};
  out.baggage =
      "k8s.cluster.name=Kubernetes,k8s.namespace.name=demo,k8s.deployment.name=client,service.name=client,"
      "service.version="
      "latest,cloud.region=r1,cloud.availability_zone=z1";
  out.forwarded = "for=\"10.77.1.10:" + std::to_string(20000 + i % 40000) + "\"";
  out.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
  return out;
}

uint8_t* bytes(std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); }

size_t deflate(nghttp2_hd_deflater* deflater, const Headers& headers, std::span<uint8_t> into) {
  std::array<nghttp2_nv, 8> fields;
  size_t count = 0;
  for (const auto& [name, value] : headers) {
    fields[count++] = {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  ssize_t n = nghttp2_hd_deflate_hd(deflater, into.data(), into.size(), fields.data(), count);
  if (n < 0) std::abort();
  return static_cast<size_t>(n);
}

Headers inflate(nghttp2_hd_inflater* inflater, std::span<const uint8_t> block) {
  Headers out;
  for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
    nghttp2_nv field;
    ssize_t n = nghttp2_hd_inflate_hd2(inflater, &field, &flags, block.data(), block.size(), 1);
    if (n < 0) std::abort();
    block = block.subspan(static_cast<size_t>(n));
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      out.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                       std::string(reinterpret_cast<char*>(field.value), field.valuelen));
    }
  }
  nghttp2_hd_inflate_end_headers(inflater);
  return out;
}

}  // namespace

void hpack(Bench& bench) {
  nghttp2_hd_deflater* deflater = nullptr;
  nghttp2_hd_inflater* inflater = nullptr;
  if (nghttp2_hd_deflate_new(&deflater, 4096) != 0 || nghttp2_hd_inflate_new(&inflater) != 0) std::abort();
  std::array<uint8_t, 4096> block;
  uint64_t at = 0;
  bench.measure({.name = "hpack: a CONNECT built, deflated, inflated, parsed", .most = 14}, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      size_t size = deflate(deflater, request(at++).headers(), block);
      Result<hbone::Connect> parsed = hbone::Connect::parse(inflate(inflater, std::span(block).first(size)));
      if (!parsed) std::abort();
      keep(parsed);
    }
  });
  nghttp2_hd_deflate_del(deflater);
  nghttp2_hd_inflate_del(inflater);
}

}  // namespace ambientd::bench

// SPDX-License-Identifier: Apache-2.0
#include "core/identity.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <algorithm>
#include <iterator>

#include "core/tls.h"

namespace ambientd {
namespace {

std::vector<CertificateText> describe_all(const std::vector<X509Ptr>& certificates) {
  std::vector<CertificateText> out;
  std::ranges::transform(certificates, std::back_inserter(out),
                         [](const X509Ptr& one) { return describe(one.get()); });
  return out;
}

std::vector<std::string> fingerprints(const std::vector<X509Ptr>& certificates) {
  std::vector<std::string> out;
  std::ranges::transform(certificates, std::back_inserter(out),
                         [](const X509Ptr& one) { return fingerprint(one.get()); });
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

Status check_parts(const Identity& identity, const Issued& issued) {
  std::string whose = "the certificate for " + identity.uri();
  if (issued.chain.empty() || !issued.key)
    return fail(Errc::invalid, whose + " came without a leaf or a key");
  if (issued.roots.empty()) return fail(Errc::invalid, whose + ": no root certificate present");
  for (const X509Ptr& root : issued.roots)
    if (!is_ca(root.get()))
      return fail(Errc::invalid, fmt::format("{}: the root with serial number {} is no CA certificate", whose,
                                             serial_number(root.get())));
  Result<Identity> leaf = peer_identity(issued.chain.front().get());
  if (!leaf) return fail(leaf.error());
  if (*leaf != identity)
    return fail(Errc::identity, fmt::format("did not find expected SAN: {} (the certificate is for {})",
                                            identity.uri(), leaf->uri()));
  if (X509_check_private_key(issued.chain.front().get(), issued.key.get()) != 1) {
    ERR_clear_error();
    return fail(Errc::invalid, whose + " does not belong to its private key");
  }
  return {};
}

}  // namespace

bool WorkloadCertificate::trusts(std::string_view root_id) const {
  return std::ranges::binary_search(root_ids, root_id, {},
                                    [](const std::string& id) -> std::string_view { return id; });
}

Result<WorkloadCertificatePtr> make_workload_certificate(const Identity& identity, const Issued& issued,
                                                         const TlsRules& rules) {
  Status sound = check_parts(identity, issued);
  if (!sound) return fail(sound.error());
  TlsCredentials credentials{issued.chain, issued.key.get(), issued.roots};
  Result<std::shared_ptr<SSL_CTX>> client = client_context(credentials, rules);
  if (!client) return fail(client.error());
  Result<std::shared_ptr<SSL_CTX>> server = server_context(credentials, {identity.trust_domain}, rules);
  if (!server) return fail(server.error());

  auto made = std::make_shared<WorkloadCertificate>();
  made->identity = identity;
  made->chain = describe_all(issued.chain);
  made->roots = describe_all(issued.roots);
  made->root_ids = fingerprints(issued.roots);
  made->not_before = made->chain.front().not_before;
  made->not_after = made->chain.front().not_after;
  made->client = std::move(*client);
  made->server = std::move(*server);
  return made;
}

}  // namespace ambientd

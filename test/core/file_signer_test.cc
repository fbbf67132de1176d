// SPDX-License-Identifier: Apache-2.0
#include "core/file_signer.h"

#include <sys/stat.h>

#include <filesystem>

#include "core/credential_files.h"
#include "core/local_ca.h"
#include "test/support/catch.h"
#include "test/support/mint.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;
using std::chrono::hours;

namespace {

Issued issue(const LocalCa& ca, const std::string& sa) {
  return *ca.issue(workload(sa), hours(1), std::chrono::system_clock::now());
}

CertificateFiles write(const ScratchDir& dir, const Issued& issued) {
  return {dir.write("cert.pem", to_pem(issued.chain.front().get())),
          dir.write("key.pem", to_pem(issued.key.get())),
          dir.write("root.pem", to_pem(issued.roots.front().get()))};
}

Result<Issued> sign(Signer& signer, const std::string& sa) {
  std::optional<Result<Issued>> answer;
  signer.sign(workload(sa), [&](Result<Issued> issued) { answer.emplace(std::move(issued)); });
  REQUIRE(answer);
  return std::move(*answer);
}

}  // namespace

TEST_CASE("files serve the one identity they name") {
  ScratchDir dir;
  LocalCa ca = new_root();
  std::unique_ptr<Signer> signer = *file_signer(write(dir, issue(ca, "echo")));
  for (int i = 0; i < 2; i++) {
    Result<Issued> issued = sign(*signer, "echo");
    REQUIRE(issued);
    CHECK(make_workload_certificate(workload("echo"), *issued));
  }
  Result<Issued> other = sign(*signer, "curl");
  REQUIRE_FALSE(other);
  CHECK(other.error().code == Errc::identity);
  CHECK_THAT(other.error().detail,
             Contains("/sa/curl") && Contains("cert.pem is for") && Contains("/sa/echo"));
}

TEST_CASE("changed files are taken together or not at all") {
  ScratchDir dir;
  LocalCa ca = new_root();
  Issued first = issue(ca, "echo"), second = issue(new_root(), "echo");
  std::unique_ptr<Signer> signer = *file_signer(write(dir, first));
  CHECK(signer->refresh() == false);
  dir.write("cert.pem", to_pem(second.chain.front().get()));
  Result<bool> half = signer->refresh();
  REQUIRE_FALSE(half);
  CHECK_THAT(half.error().detail, Contains("key.pem is not the key"));
  CHECK(fingerprint(sign(*signer, "echo")->chain.front().get()) == fingerprint(first.chain.front().get()));

  write(dir, second);
  CHECK(signer->refresh() == true);
  CHECK(signer->refresh() == false);
  CHECK(fingerprint(sign(*signer, "echo")->chain.front().get()) == fingerprint(second.chain.front().get()));
}

TEST_CASE("files that cannot be used are refused by name") {
  ScratchDir dir;
  LocalCa ca = new_root();
  CertificateFiles good = write(dir, issue(ca, "echo"));
  std::string garbage =
      dir.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  std::string two = dir.write(
      "two.pem",
      to_pem(mint_leaf(ca, {.uris = {workload("a").uri(), workload("b").uri()}}).chain.front().get()));
  struct Case {
    CertificateFiles files;
    std::string error;
  };
  const Case cases[] = {
      {{dir.file("none"), good.key, good.root}, "open " + dir.file("none") + ": No such file"},
      {{good.cert, dir.file("none"), good.root}, dir.file("none")},
      {{good.cert, good.key, dir.file("none")}, dir.file("none")},
      {{garbage, good.key, good.root}, garbage + ": certificate 1 does not parse"},
      {{good.cert, good.cert, good.root}, good.cert + ": no private key"},
      {{good.cert, good.key, garbage}, garbage},
      {{good.root, good.key, good.root}, "is not the key of the first certificate"},
  };
  for (const Case& c : cases) {
    Result<std::unique_ptr<Signer>> signer = file_signer(c.files);
    REQUIRE_FALSE(signer);
    CHECK_THAT(signer.error().detail, Contains(c.error));
  }
}

TEST_CASE("a file is read whole, bounded, and never waited for") {
  ScratchDir dir;
  std::string text(300'000, 'x');
  CHECK(read_file(dir.write("big", text)) == text);
  CHECK(read_file(dir.write("empty", "")) == std::string());
  Result<std::string> huge = read_file(dir.write("huge", std::string((1 << 20) + 1, 'x')));
  REQUIRE_FALSE(huge);
  CHECK_THAT(huge.error().detail, Contains(dir.file("huge") + ": larger than 1 MiB"));
  REQUIRE(mkfifo(dir.file("pipe").c_str(), 0600) == 0);
  CHECK(read_file(dir.file("pipe")) == std::string());
  CHECK_FALSE(read_file(dir.path));
}

TEST_CASE("a change of a file is noticed once, also through a symbolic link and from nothing") {
  ScratchDir dir;
  dir.write("a", "1");
  std::filesystem::create_symlink("a", dir.file("link"));
  FileStamps stamps({dir.file("link"), dir.file("later")});
  CHECK_FALSE(stamps.changed());
  dir.write("a", "2");
  CHECK(stamps.changed());
  CHECK_FALSE(stamps.changed());
  dir.write("later", "");
  CHECK(stamps.changed());
  std::filesystem::remove(dir.file("later"));
  CHECK(stamps.changed());
  dir.write("b", "2");
  std::filesystem::remove(dir.file("link"));
  std::filesystem::create_symlink("b", dir.file("link"));
  CHECK(stamps.changed());
}

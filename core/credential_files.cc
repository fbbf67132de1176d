// SPDX-License-Identifier: Apache-2.0
#include "core/credential_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ambientd {
namespace {

// One file descriptor for one scope.
struct Fd {
  int fd;
  ~Fd() {
    if (fd >= 0) close(fd);
  }
};

// Appends the whole file to *out. False with errno set when it cannot be read; stops past `most`.
bool read_all(int fd, size_t most, std::string* out) {
  out->reserve(64 << 10);  // a key that grows the string would leave copies of itself behind
  char block[8192];
  while (out->size() <= most) {
    ssize_t got = read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    out->append(block, static_cast<size_t>(got));
    OPENSSL_cleanse(block, sizeof block);
  }
  return true;
}

}  // namespace

Result<std::string> read_file(const std::string& path, size_t most) {
  Fd file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe must not hold us up
  if (file.fd < 0) return fail(os_error(Errc::io, "open " + path, errno));
  std::string out;
  if (!read_all(file.fd, most, &out)) return fail(os_error(Errc::io, "read " + path, errno));
  if (out.size() > most) return fail(Errc::io, fmt::format("{}: larger than {} MiB", path, most >> 20));
  return out;
}

Result<std::vector<X509Ptr>> read_certificates(const std::string& path) {
  Result<std::string> pem = read_file(path);
  if (!pem) return fail(pem.error());
  return parse_certificates(*pem, path);
}

Result<PrivateKeyPtr> read_private_key(const std::string& path) {
  Result<std::string> pem = read_file(path);
  if (!pem) return fail(pem.error());
  Result<PrivateKeyPtr> key = parse_private_key(*pem, path);
  OPENSSL_cleanse(pem->data(), pem->size());
  return key;
}

FileStamps::FileStamps(std::vector<std::string> paths) : paths_(std::move(paths)), stamps_(look()) {}

bool FileStamps::changed() {
  std::vector<Stamp> before = std::exchange(stamps_, look());
  return stamps_ != before;
}

std::vector<FileStamps::Stamp> FileStamps::look() const {
  std::vector<Stamp> out;
  for (const std::string& path : paths_) {
    struct stat st{};
    if (stat(path.c_str(), &st) != 0) {
      out.emplace_back();
      continue;
    }
    out.push_back({st.st_dev, st.st_ino, static_cast<uint64_t>(st.st_size),
                   st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec});
  }
  return out;
}

}  // namespace ambientd

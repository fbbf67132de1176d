// SPDX-License-Identifier: Apache-2.0
#include "core/demo_ca.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/credential_files.h"
#include "core/local_ca.h"

namespace ambientd {
namespace {

constexpr mode_t kOwnerDir = 0700, kOwnerFile = 0600;

// A file descriptor with one owner; a lock on it ends with it.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// mkdir -p, each new directory for its owner only.
Status make_directories(const std::string& dir) {
  for (size_t at = dir.find('/', 1);; at = dir.find('/', at + 1)) {
    std::string part = dir.substr(0, at);
    if (mkdir(part.c_str(), kOwnerDir) != 0 && errno != EEXIST)
      return fail(os_error(Errc::io, "make the directory " + part, errno));
    if (at == dir.npos) return {};
  }
}

Status check_private(const std::string& dir) {
  Fd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat st{};
  if (fd.get() < 0 || fstat(fd.get(), &st) != 0)
    return fail(os_error(Errc::io, "open the directory " + dir, errno));
  if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
    return fail(Errc::invalid,
                fmt::format("{}: a directory for a CA key must be ours alone (chown to uid {} and "
                            "chmod 0700, or give another --ca-dir)",
                            dir, geteuid()));
  return {};
}

Result<Fd> lock(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kOwnerFile));
  if (fd.get() < 0) return fail(os_error(Errc::io, "open " + path, errno));
  while (flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail(os_error(Errc::io, "lock " + path, errno));
  return fd;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t put = write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return fsync(fd) == 0;
}

// Whole or not at all: readers see the former file or this one.
Status write_file(const std::string& path, std::string_view text) {
  std::string fresh = path + ".new";
  Fd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, kOwnerFile));
  if (fd.get() < 0 || !write_all(fd.get(), text) || rename(fresh.c_str(), path.c_str()) != 0)
    return fail(os_error(Errc::io, "write " + path, errno));
  return {};
}

Status make_files(const DemoCa& ca, TimePoint now) {
  Result<LocalCa> root = make_root("ambientd demo CA", now);
  if (!root) return fail(root.error());
  std::string key = to_pem(root->key.get());
  Status written = write_file(ca.key_file, key);
  OPENSSL_cleanse(key.data(), key.size());
  if (!written) return written;
  return write_file(ca.cert_file, to_pem(root->issuer.get()));  // last: with it the CA exists
}

// Whether what is there can still sign. What does not parse is not ours to replace.
Result<bool> usable(const DemoCa& ca, TimePoint now) {
  if (!exists(ca.cert_file) || !exists(ca.key_file)) return false;
  Result<std::vector<X509Ptr>> certificates = read_certificates(ca.cert_file);
  if (!certificates)
    return fail(certificates.error().code,
                certificates.error().detail + " (remove it to have a new demo CA made)");
  return now < not_after(certificates->front().get());
}

}  // namespace

Result<DemoCa> demo_ca(const std::string& dir, TimePoint now) {
  DemoCa ca{.cert_file = dir + "/ca-cert.pem", .key_file = dir + "/ca-key.pem"};
  Status there = make_directories(dir);
  if (there) there = check_private(dir);
  if (!there) return fail(there.error());
  Result<Fd> held = lock(dir + "/lock");
  if (!held) return fail(held.error());
  Result<bool> found = usable(ca, now);
  if (!found) return fail(found.error());
  if (!*found) {
    Status made = make_files(ca, now);
    if (!made) return fail(made.error());
    ca.made = true;
  }
  ca.notice = fmt::format(
      "{} the demo CA in {}: whoever can read that directory can be any workload (for more than a trial give "
      "--ca-cert and --ca-key, or --cert, --key and --root)",
      ca.made ? "made" : "using", dir);
  return ca;
}

}  // namespace ambientd

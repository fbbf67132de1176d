// SPDX-License-Identifier: Apache-2.0
#include "config/loader.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <sstream>
#include <unordered_map>

#include "config/document.h"
#include "config/kubernetes/derive.h"
#include "config/kubernetes/read.h"
#include "config/local.h"

namespace ambientd::config {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShownErrors = 5;

// What tells whether a file is still the one that was read.
struct Stamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t seconds = 0, nanoseconds = 0;
  bool operator==(const Stamp&) const = default;
};

struct Contents {
  kubernetes::Objects objects;
  LocalConfig local;
  Problems problems;
};

void read_document(const std::string& file, const Document& document, Contents* out) {
  Reading reading{document.root, file, {}, {}, out->problems};
  if (!document.list.empty()) reading.prefix = fmt::format("{}[{}]", document.list, document.index);
  if (is_local_list(document.list)) return read_local_item(document.list, reading, &out->local);
  bool local =
      document.list.empty() && document.root.find("apiVersion") == nullptr &&
      (document.root.find("workloads") || document.root.find("services") || document.root.find("policies"));
  if (local) return read_local_rest(reading);
  kubernetes::read_object(reading, &out->objects);
}

void read_stream(std::istream& in, const std::string& file, Format format, Contents* out) {
  auto each = [&](const Document& document) { read_document(file, document, out); };
  std::expected<void, Fault> end = read_documents(in, format, each);
  if (end) return;
  out->problems.push_back({Severity::error, file, end.error().line, {}, {}, end.error().message});
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void append(kubernetes::Objects& to, const kubernetes::Objects& from) {
  append(to.namespaces, from.namespaces);
  append(to.nodes, from.nodes);
  append(to.pods, from.pods);
  append(to.services, from.services);
  append(to.slices, from.slices);
  append(to.workload_entries, from.workload_entries);
  append(to.service_entries, from.service_entries);
  append(to.gateway_classes, from.gateway_classes);
  append(to.gateways, from.gateways);
  append(to.routes, from.routes);
  append(to.policies, from.policies);
  append(to.request_authentications, from.request_authentications);
  append(to.peer_authentications, from.peer_authentications);
  append(to.mesh_configs, from.mesh_configs);
}

void append(LocalConfig& to, const LocalConfig& from) {
  append(to.workloads, from.workloads);
  append(to.services, from.services);
  append(to.policies, from.policies);
  append(to.endpoints, from.endpoints);
}

void join_endpoints(const LocalConfig& local, Mesh* mesh, Problems* problems) {
  std::unordered_map<std::string_view, Workload*> by_uid;
  for (Workload& workload : mesh->workloads) by_uid.emplace(workload.uid, &workload);
  for (const LocalEndpoint& endpoint : local.endpoints) {
    auto at = by_uid.find(endpoint.workload);
    if (at == by_uid.end())
      problems->push_back({Severity::warning, endpoint.file, endpoint.line, "service " + endpoint.service,
                           "endpoints", "there is no workload of uid " + endpoint.workload});
    else if (endpoint.status == Health::healthy)
      at->second->services.emplace(endpoint.service, endpoint.ports);
  }
}

// Two records of one key would silently replace each other.
template <class T, class Key>
void refuse_doubles(const std::vector<T>& records, std::string_view kind, Key key, Problems* problems) {
  std::set<std::string> seen;
  for (const T& record : records)
    if (!seen.insert(std::invoke(key, record)).second)
      problems->push_back({Severity::error,
                           {},
                           0,
                           fmt::format("{} {}", kind, std::invoke(key, record)),
                           {},
                           "is defined twice"});
}

void add_local(const LocalConfig& local, Mesh* mesh, Problems* problems) {
  append(mesh->workloads, local.workloads);
  append(mesh->services, local.services);
  append(mesh->policies, local.policies);
  join_endpoints(local, mesh, problems);
  if (any_error(*problems)) return;  // doubles among Kubernetes objects are named already
  refuse_doubles(mesh->workloads, "workload", &Workload::uid, problems);
  refuse_doubles(mesh->services, "service", &Service::key, problems);
  refuse_doubles(mesh->policies, "policy", &policy::Authorization::key, problems);
}

void sort_problems(Problems* problems) {
  auto place = [](const Problem& p) { return std::tie(p.file, p.line, p.subject, p.path, p.message); };
  std::ranges::sort(*problems, {}, place);
}

// Of the warnings about a kind that is skipped, the first will do.
void drop_repeated(Problems* problems) {
  std::set<std::string> seen;
  std::erase_if(*problems, [&](const Problem& problem) {
    bool of_kind =
        problem.severity == Severity::warning && problem.path.empty() && !problem.subject.contains(' ');
    return of_kind && !seen.insert(problem.subject + problem.message).second;
  });
}

Loaded assemble(std::span<const std::shared_ptr<const Contents>> all) {
  Loaded out;
  kubernetes::Objects objects;
  LocalConfig local;
  for (const std::shared_ptr<const Contents>& contents : all) {
    append(objects, contents->objects);
    append(local, contents->local);
    append(out.problems, contents->problems);
  }
  kubernetes::derive(objects, &out.mesh, &out.problems);
  add_local(local, &out.mesh, &out.problems);
  sort_problems(&out.problems);
  drop_repeated(&out.problems);
  return out;
}

Result<Loaded> refuse_errors(Loaded loaded) {
  if (!any_error(loaded.problems)) return loaded;
  std::string detail = "the configuration is not taken:";
  size_t errors = 0;
  for (const Problem& problem : loaded.problems)
    if (problem.severity == Severity::error && ++errors <= kShownErrors) detail += "\n  " + problem.str();
  if (errors > kShownErrors) detail += fmt::format("\n  and {} more errors", errors - kShownErrors);
  return fail(Errc::invalid, std::move(detail));
}

}  // namespace

struct FileCache::Entry {
  Stamp stamp;
  std::shared_ptr<const Contents> contents;
};

FileCache::FileCache() = default;
FileCache::~FileCache() = default;
FileCache::FileCache(FileCache&&) noexcept = default;
FileCache& FileCache::operator=(FileCache&&) noexcept = default;

namespace {

Result<Stamp> stamp_of(const fs::path& path) {
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) return fail(os_error(Errc::io, "read " + path.string(), errno));
  return Stamp{st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

Result<std::shared_ptr<const Contents>> read_file(const fs::path& path, const Stamp& stamp) {
  if (stamp.size > static_cast<off_t>(kMaxFileSize))
    return fail(Errc::invalid, fmt::format("{} is larger than {} MiB", path.string(), kMaxFileSize >> 20));
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(os_error(Errc::io, "read " + path.string(), errno));
  auto contents = std::make_shared<Contents>();
  Format format = path.extension() == ".json" ? Format::json : Format::yaml;
  read_stream(in, path.string(), format, contents.get());
  if (in.bad()) return fail(os_error(Errc::io, "read " + path.string(), errno));
  // A copy, because what was read lies scattered among what parsing has freed, and would keep those pages.
  return std::make_shared<const Contents>(*contents);
}

Result<std::shared_ptr<const FileCache::Entry>> read_cached(const fs::path& path, FileCache* cache) {
  Result<Stamp> stamp = stamp_of(path);
  if (!stamp) return fail(stamp.error());
  if (cache != nullptr)
    if (auto at = cache->entries.find(path.string());
        at != cache->entries.end() && at->second->stamp == *stamp)
      return at->second;
  Result<std::shared_ptr<const Contents>> contents = read_file(path, *stamp);
  if (!contents) return fail(contents.error());
  return std::make_shared<const FileCache::Entry>(FileCache::Entry{*stamp, *contents});
}

Result<Loaded> load_all(std::span<const fs::path> paths, FileCache* cache) {
  Result<std::vector<fs::path>> files = list_files(paths);
  if (!files) return fail(files.error());
  std::vector<std::shared_ptr<const Contents>> all;
  std::map<std::string, std::shared_ptr<const FileCache::Entry>> kept;
  for (const fs::path& file : *files) {
    Result<std::shared_ptr<const FileCache::Entry>> entry = read_cached(file, cache);
    if (!entry) return fail(entry.error());
    all.push_back((*entry)->contents);
    kept.emplace(file.string(), *entry);
  }
  if (cache != nullptr) cache->entries = std::move(kept);
  return assemble(all);
}

bool is_config_file(const fs::path& path) {
  fs::path extension = path.extension();
  bool known = extension == ".yaml" || extension == ".yml" || extension == ".json";
  return known && !path.filename().string().starts_with('.');
}

Loaded assemble_text(std::string_view text, std::string_view name) {
  std::istringstream in{std::string(text)};
  auto contents = std::make_shared<Contents>();
  Format format = name.ends_with(".json") ? Format::json : Format::yaml;
  read_stream(in, std::string(name), format, contents.get());
  std::shared_ptr<const Contents> all[] = {contents};
  return assemble(all);
}

}  // namespace

Result<std::vector<fs::path>> list_files(std::span<const fs::path> paths) {
  std::vector<fs::path> out;
  for (const fs::path& path : paths) {
    std::error_code ec;
    if (!fs::is_directory(path, ec)) {
      out.push_back(path);
      continue;
    }
    size_t first = out.size();
    for (fs::directory_iterator at(path, ec), end; !ec && at != end; at.increment(ec))
      if (is_config_file(at->path()) && !at->is_directory(ec)) out.push_back(at->path());
    if (ec) return fail(os_error(Errc::io, "read directory " + path.string(), ec.value()));
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
  }
  return out;
}

Result<Loaded> load(std::span<const fs::path> paths, FileCache* cache) {
  Result<Loaded> loaded = load_all(paths, cache);
  if (!loaded) return loaded;
  return refuse_errors(std::move(*loaded));
}

Problems check(std::span<const fs::path> paths) {
  Result<Loaded> loaded = load_all(paths, nullptr);
  if (!loaded) return {{Severity::error, {}, 0, {}, {}, loaded.error().detail}};
  return std::move(loaded->problems);
}

Result<Loaded> load_text(std::string_view text, std::string_view name) {
  return refuse_errors(assemble_text(text, name));
}

Problems check_text(std::string_view text, std::string_view name) {
  return assemble_text(text, name).problems;
}

}  // namespace ambientd::config

// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ambientd {
namespace {

// Only segments that are executable and not writable: dropping a page of any other, RELRO ones included,
// would lose what relocation wrote there. Text relocations do not exist in position independent code.
void release_code(const dl_phdr_info& object) {
  auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object.dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & (PF_X | PF_W)) != PF_X) continue;
    uintptr_t from = (object.dlpi_addr + segment.p_vaddr + page - 1) & ~(page - 1);
    uintptr_t to = (object.dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);
    // Best effort: where the kernel refuses, the pages stay, which costs nothing but memory.
    if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  }
}

}  // namespace

void release_heap() { malloc_trim(0); }

void release_start_up_code() {
  auto release = [](dl_phdr_info* object, size_t, void*) {
    bool kernels = std::string_view(object->dlpi_name).starts_with("linux-vdso");
    if (!kernels) release_code(*object);
    return 0;
  };
  dl_iterate_phdr(release, nullptr);
}

}  // namespace ambientd

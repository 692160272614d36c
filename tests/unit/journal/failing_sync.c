/* Fails the fsync or fdatasync that is `syncs_left` calls away, and every one from then on, as a broken disk
 * does. Loaded with LD_PRELOAD; a negative number fails none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>

int syncs_left = -1;

static int fails(void) {
    if (syncs_left < 0) return 0;
    if (syncs_left > 0) { syncs_left--; return 0; }
    errno = EIO;
    return 1;
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails() ? -1 : real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails() ? -1 : real(fd);
}

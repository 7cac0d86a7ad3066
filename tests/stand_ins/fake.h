/* What the CUDA stand-ins share: how a test chooses, by environment variables, what a function does when it is called.
 *
 *   FAKE_CUDA_ERRORS=cuMemAlloc_v2=2,cudnnCreate=1   the status per function, instead of what it would return
 *   FAKE_CUDA_HANG=cuInit                            functions that never return
 *   FAKE_CUDA_CRASH=cuMemAlloc_v2,cudnnCreate        functions that abort the process
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline int number(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text && *text ? atoi(text) : otherwise;
}

/* Find a function in a comma list of names or of `name=status`; what follows the name, or NULL. */
static const char *after_name(const char *variable, const char *function) {
    size_t length = strlen(function);
    for (const char *entry = getenv(variable); entry; entry = strchr(entry, ',') ? strchr(entry, ',') + 1 : NULL) {
        if (strncmp(entry, function, length) == 0 && strchr("=,", entry[length])) return entry + length;
    }
    return NULL;
}

/* The status that was chosen for a function, or its usual one. */
static inline int status_of(const char *function, int usual) {
    const char *chosen = after_name("FAKE_CUDA_ERRORS", function);
    if (after_name("FAKE_CUDA_CRASH", function)) abort();
    while (after_name("FAKE_CUDA_HANG", function)) pause();
    return chosen ? atoi(chosen + 1) : usual;
}

#define ANSWER_ERROR() do { int error = status_of(__func__, 0); if (error) return error; } while (0)

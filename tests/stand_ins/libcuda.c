/* A stand-in for NVIDIA's driver: as much of libcuda.so.1 as TensorFlow calls to list a GPU and to begin to use it.
 *
 * Memory is the host's, copies are made and streams run at once; a kernel cannot be loaded. The environment is read at
 * every call, so a test can change its mind while it runs; besides what `fake.h` lists:
 *   FAKE_CUDA_DEVICES=2             boards (1), of which CUDA_VISIBLE_DEVICES hides some as it does for the real driver
 *   FAKE_CUDA_INIT=803              CUresult of cuInit (0, or 100 where no board is visible)
 *   FAKE_CUDA_DRIVER=12080          newest CUDA version that the driver serves
 *   FAKE_CUDA_CAPABILITY=90         compute capability of every board: 90 is 9.0
 *   FAKE_CUDA_NAME="NVIDIA H100"    name of every board
 * Names, signatures and numbers are those of cuda.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fake.h"

enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    NO_BINARY_FOR_GPU = 209
};
enum { MOST_BOARDS = 16, NO_BOARD = -1 };

typedef struct { char bytes[16]; } Uuid;
typedef struct { char unread; } Context; /* one per device; where it lies says which */

static const size_t GIB = 1ull << 30;
static Context contexts[MOST_BOARDS];
static __thread Context *current;
static int initialized;

static const struct { int result; const char *name, *text; } results[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "forward compatibility was attempted on non supported HW"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static void write_uuid(int board, char *text, size_t size) {
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", board);
}

/* The board that an entry of CUDA_VISIBLE_DEVICES names: an index, or the beginning of a UUID. */
static int named_board(const char *entry, size_t length) {
    char uuid[48], *end;
    for (int board = 0; board < number("FAKE_CUDA_DEVICES", 1); board++) {
        write_uuid(board, uuid, sizeof uuid);
        if (length >= strlen("GPU-0") && strncmp(entry, uuid, length) == 0) return board;
    }
    long index = strtol(entry, &end, 10);
    int whole = length > 0 && end == entry + length;
    return whole && index >= 0 && index < number("FAKE_CUDA_DEVICES", 1) ? (int)index : NO_BOARD;
}

/* The board behind a device number; an invalid entry of CUDA_VISIBLE_DEVICES hides itself and all after it. */
static int board_of(int device) {
    const char *entry = getenv("CUDA_VISIBLE_DEVICES");
    if (!entry) return device >= 0 && device < number("FAKE_CUDA_DEVICES", 1) ? device : NO_BOARD;
    for (int position = 0;; position++) {
        size_t length = strcspn(entry, ",");
        int board = named_board(entry, length);
        if (board == NO_BOARD || position == device) return board;
        if (!entry[length]) return NO_BOARD;
        entry += length + 1;
    }
}

static int count_visible(void) {
    int count = 0;
    while (count < MOST_BOARDS && board_of(count) != NO_BOARD) count++;
    return count;
}

#define ANSWER() do { ANSWER_ERROR(); if (!initialized) return NOT_INITIALIZED; } while (0)
#define ANSWER_FOR(device) do { ANSWER(); if (board_of(device) == NO_BOARD) return INVALID_DEVICE; } while (0)

int cuInit(unsigned flags) {
    ANSWER_ERROR();
    int error = number("FAKE_CUDA_INIT", count_visible() ? SUCCESS : NO_DEVICE);
    initialized = error == SUCCESS;
    return error;
}

int cuDriverGetVersion(int *version) {
    ANSWER_ERROR();
    *version = number("FAKE_CUDA_DRIVER", 12080);
    return SUCCESS;
}

int cuGetErrorName(int result, const char **name) {
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i].result == result) return *name = results[i].name, SUCCESS;
    }
    return *name = NULL, INVALID_VALUE;
}

int cuGetErrorString(int result, const char **text) {
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i].result == result) return *text = results[i].text, SUCCESS;
    }
    return *text = NULL, INVALID_VALUE;
}

int cuDeviceGetCount(int *count) {
    ANSWER();
    *count = count_visible();
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    ANSWER_FOR(ordinal);
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetName(char *text, int size, int device) {
    ANSWER_FOR(device);
    const char *name = getenv("FAKE_CUDA_NAME");
    snprintf(text, (size_t)size, "%s", name ? name : "Stand-in GPU");
    return SUCCESS;
}

int cuDeviceGetUuid_v2(Uuid *uuid, int device) {
    ANSWER_FOR(device);
    char digits[13];
    snprintf(digits, sizeof digits, "%012d", board_of(device));
    memset(uuid, 0, sizeof *uuid);
    for (int i = 0; i < 6; i++) uuid->bytes[10 + i] = (char)((digits[2 * i] - '0') << 4 | (digits[2 * i + 1] - '0'));
    return SUCCESS;
}

int cuDeviceGetPCIBusId(char *text, int size, int device) {
    ANSWER_FOR(device);
    snprintf(text, (size_t)size, "0000:%02X:00.0", 1 + board_of(device));
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    ANSWER_FOR(device);
    *bytes = 16 * GIB;
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    ANSWER_FOR(device);
    switch (attribute) { /* the numbers are those of an H100 */
        case 1: case 2: case 3: *value = 1024; break; /* threads per block, and along x and y */
        case 4: *value = 64; break; /* threads along z */
        case 5: *value = INT32_MAX; break; /* blocks along x */
        case 6: case 7: *value = 65535; break; /* blocks along y and z */
        case 8: *value = 48 << 10; break; /* shared memory per block, in bytes */
        case 9: *value = 64 << 10; break; /* constant memory, in bytes */
        case 10: *value = 32; break; /* threads per warp */
        case 12: case 82: *value = 65536; break; /* registers per block and per multiprocessor */
        case 13: *value = 1755000; break; /* clock, in kHz */
        case 16: *value = 132; break; /* multiprocessors */
        case 32: *value = 1; break; /* ECC */
        case 33: *value = 1 + board_of(device); break; /* PCI bus */
        case 36: *value = 2619000; break; /* memory clock, in kHz */
        case 37: *value = 5120; break; /* memory bus, in bits */
        case 38: *value = 50 << 20; break; /* level-2 cache, in bytes */
        case 39: *value = 2048; break; /* threads per multiprocessor */
        case 41: *value = 1; break; /* unified addressing */
        case 75: *value = number("FAKE_CUDA_CAPABILITY", 90) / 10; break;
        case 76: *value = number("FAKE_CUDA_CAPABILITY", 90) % 10; break;
        case 81: *value = 228 << 10; break; /* shared memory per multiprocessor, in bytes */
        case 97: *value = 227 << 10; break; /* shared memory per block on request, in bytes */
        case 106: *value = 32; break; /* blocks per multiprocessor */
        default: *value = 0;
    }
    return SUCCESS;
}

int cuDeviceCanAccessPeer(int *can, int device, int peer) {
    ANSWER_FOR(device);
    *can = 0;
    return SUCCESS;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    ANSWER_FOR(device);
    *flags = 0;
    *active = 0;
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(Context **context, int device) {
    ANSWER_FOR(device);
    *context = &contexts[device];
    return SUCCESS;
}

int cuCtxSetCurrent(Context *context) {
    ANSWER();
    current = context;
    return SUCCESS;
}

int cuCtxGetCurrent(Context **context) {
    ANSWER();
    *context = current;
    return SUCCESS;
}

int cuCtxGetDevice(int *device) {
    ANSWER();
    *device = current ? (int)(current - contexts) : 0;
    return SUCCESS;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    ANSWER();
    *total_bytes = 16 * GIB;
    *free_bytes = 15 * GIB;
    return SUCCESS;
}

/* Device memory is host memory, reserved in full and given pages as they are written. */
int cuMemAlloc_v2(void **memory, size_t bytes) {
    ANSWER();
    *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return *memory == MAP_FAILED ? OUT_OF_MEMORY : SUCCESS;
}

static int copy(void *to, const void *from, size_t bytes) {
    memcpy(to, from, bytes);
    return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes) { ANSWER(); return copy(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes) { ANSWER(); return copy(to, from, bytes); }

int cuMemsetD32Async(uint32_t *to, unsigned value, size_t count) {
    ANSWER();
    for (size_t i = 0; i < count; i++) to[i] = value;
    return SUCCESS;
}

static int create(void **handle) {
    static int resource;
    *handle = &resource;
    return SUCCESS;
}

int cuStreamCreate(void **stream) { ANSWER(); return create(stream); }
int cuEventCreate(void **event) { ANSWER(); return create(event); }

/* What has nothing to do, because every stream is idle; arguments are not read. */
#define SUCCEED(function) int function(void) { ANSWER(); return SUCCESS; }
SUCCEED(cuCtxSynchronize)
SUCCEED(cuStreamSynchronize)
SUCCEED(cuStreamWaitEvent)
SUCCEED(cuStreamDestroy_v2)
SUCCEED(cuEventRecord)
SUCCEED(cuEventQuery)
SUCCEED(cuEventDestroy_v2)
SUCCEED(cuMemFree_v2)

/* Kernels come to nothing, unless FAKE_CUDA_ERRORS names a step with 0: then it succeeds without doing anything. */
#define FAIL(function) int function(void) { return status_of(__func__, NO_BINARY_FOR_GPU); }
FAIL(cuModuleLoadData)
FAIL(cuModuleLoadFatBinary)
FAIL(cuModuleGetFunction)
FAIL(cuLaunchKernel)

/* A stand-in for NVIDIA's management library: as much of libnvidia-ml.so.1 as this project calls.
 *
 * The environment is read at every call, so a test can change its mind while it runs:
 *   FAKE_NVML_DEVICES=2                          boards (1)
 *   FAKE_NVML_MIG=3                              instances that each board is split into (0: not split)
 *   FAKE_NVML_DRIVER=550.54.15                   driver version
 *   FAKE_NVML_NAME="NVIDIA H100"                 name of every board
 *   FAKE_NVML_ERRORS=nvmlDeviceGetPowerUsage=3,nvmlDeviceGetName@1=15
 *                                                nvmlReturn_t per function, @1: of board 1 only
 *   FAKE_NVML_VALUES=nvmlDeviceGetPowerUsage=95000,nvmlDeviceGetCudaComputeCapability@0=120
 *                                                the answer per function, likewise, in NVML's own unit
 *   FAKE_NVML_PIDS=41,42                         processes that compute on every board (none)
 * Names, signatures and structures are those of nvml.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { MOST_BOARDS = 16, MOST_INSTANCES = 8, WHOLE = -1, ANY_BOARD = -1 };

typedef struct { int board, instance; } Device;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } Memory_v2;
typedef struct { unsigned version, sensor; int celsius; } Temperature;
typedef struct { unsigned pid; uint64_t memory; unsigned gpu_instance, compute_instance; } Process;

static const uint64_t GIB = 1ull << 30;
static Device devices[MOST_BOARDS][1 + MOST_INSTANCES];
static int users;

static int number(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text && *text ? atoi(text) : otherwise;
}

static const char *words(const char *variable, const char *otherwise) {
    const char *text = getenv(variable);
    return text && *text ? text : otherwise;
}

/* Look `function=number` or `function@board=number` up in a list of such entries. */
static int64_t chosen(const char *variable, const char *function, int board, int64_t otherwise) {
    const char *entry = getenv(variable);
    size_t length = strlen(function);
    for (; entry && *entry; entry = strchr(entry, ',') ? strchr(entry, ',') + 1 : NULL) {
        if (strncmp(entry, function, length) != 0) continue;
        const char *rest = entry + length;
        if (*rest == '=') return atoll(rest + 1);
        if (*rest == '@' && atoi(rest + 1) == board) return atoll(strchr(rest, '=') + 1);
    }
    return otherwise;
}

static int error_of(const char *function, int board) {
    int error = (int)chosen("FAKE_NVML_ERRORS", function, board, SUCCESS);
    return error ? error : users ? SUCCESS : UNINITIALIZED;
}

#define ANSWER_ERROR(board) do { int error = error_of(__func__, board); if (error) return error; } while (0)
#define VALUE(board, otherwise) chosen("FAKE_NVML_VALUES", __func__, board, otherwise)
#define WHOLE_BOARD_ONLY(device) do { if ((device)->instance != WHOLE) return NOT_SUPPORTED; } while (0)

static Device *device_at(int board, int instance) {
    Device *device = &devices[board][1 + instance];
    *device = (Device){board, instance};
    return device;
}

static void write_uuid(const Device *device, char *text, unsigned size) {
    if (device->instance == WHOLE) snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", device->board);
    else snprintf(text, size, "MIG-00000000-0000-0000-%04d-%012d", device->instance, device->board);
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int error = (int)chosen("FAKE_NVML_ERRORS", __func__, ANY_BOARD, SUCCESS);
    if (!error) users++;
    return error;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    ANSWER_ERROR(ANY_BOARD);
    users--;
    return SUCCESS;
}

const char *nvmlErrorString(int error) {
    static char text[64];
    snprintf(text, sizeof text, "stand-in error %d", error);
    return text;
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    ANSWER_ERROR(ANY_BOARD);
    snprintf(text, size, "%s", words("FAKE_NVML_DRIVER", "570.86.15"));
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    ANSWER_ERROR(ANY_BOARD);
    *version = (int)VALUE(ANY_BOARD, 12080);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    ANSWER_ERROR(ANY_BOARD);
    *count = (unsigned)number("FAKE_NVML_DEVICES", 1);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    ANSWER_ERROR((int)index);
    if ((int)index >= number("FAKE_NVML_DEVICES", 1)) return INVALID_ARGUMENT;
    *device = device_at((int)index, WHOLE);
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    ANSWER_ERROR(ANY_BOARD);
    char candidate[96];
    for (int board = 0; board < number("FAKE_NVML_DEVICES", 1); board++) {
        for (int instance = WHOLE; instance < number("FAKE_NVML_MIG", 0); instance++) {
            *device = device_at(board, instance);
            write_uuid(*device, candidate, sizeof candidate);
            if (strcmp(candidate, uuid) == 0) return error_of(__func__, board);
        }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    ANSWER_ERROR(device->board);
    *current = *pending = (unsigned)VALUE(device->board, number("FAKE_NVML_MIG", 0) > 0);
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) {
    ANSWER_ERROR(device->board);
    *count = MOST_INSTANCES;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *board, unsigned index, Device **device) {
    ANSWER_ERROR(board->board);
    if ((int)index >= number("FAKE_NVML_MIG", 0)) return NOT_FOUND;
    *device = device_at(board->board, (int)index);
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device *device, char *text, unsigned size) {
    ANSWER_ERROR(device->board);
    write_uuid(device, text, size);
    return SUCCESS;
}

int nvmlDeviceGetName(Device *device, char *text, unsigned size) {
    ANSWER_ERROR(device->board);
    snprintf(text, size, "%s%s", words("FAKE_NVML_NAME", "Stand-in GPU"), device->instance == WHOLE ? "" : " MIG 1g");
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor) {
    ANSWER_ERROR(device->board);
    int capability = (int)VALUE(device->board, 90); /* 90 is 9.0 */
    *major = capability / 10;
    *minor = capability % 10;
    return SUCCESS;
}

/* Of 16 GiB, half a GiB is reserved by the driver; version 1 counts that as used. */
int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory_v2 *memory) {
    ANSWER_ERROR(device->board);
    memory->total = 16 * GIB;
    memory->reserved = GIB / 2;
    memory->used = (uint64_t)VALUE(device->board, 3 * (int64_t)GIB);
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    ANSWER_ERROR(device->board);
    memory->total = 16 * GIB;
    memory->used = (uint64_t)VALUE(device->board, 3 * (int64_t)GIB + (int64_t)GIB / 2);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Device *device, Utilization *utilization) {
    ANSWER_ERROR(device->board);
    WHOLE_BOARD_ONLY(device);
    utilization->gpu = (unsigned)VALUE(device->board, 87);
    utilization->memory = 31;
    return SUCCESS;
}

/* A number of a whole board, as most of NVML's queries are. */
#define BOARD_QUERY(function, type, otherwise)        \
    int function(Device *device, type *value) {       \
        ANSWER_ERROR(device->board);                  \
        WHOLE_BOARD_ONLY(device);                     \
        *value = (type)VALUE(device->board, otherwise); \
        return SUCCESS;                               \
    }

BOARD_QUERY(nvmlDeviceGetPowerUsage, unsigned, 250500)
BOARD_QUERY(nvmlDeviceGetPowerManagementLimit, unsigned, 700000)
BOARD_QUERY(nvmlDeviceGetTotalEnergyConsumption, uint64_t, 123456789)
BOARD_QUERY(nvmlDeviceGetCurrentClocksEventReasons, uint64_t, 0x4)
BOARD_QUERY(nvmlDeviceGetCurrentClocksThrottleReasons, uint64_t, 0x20)

int nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *celsius) {
    (void)sensor;
    ANSWER_ERROR(device->board);
    WHOLE_BOARD_ONLY(device);
    *celsius = (unsigned)VALUE(device->board, 64);
    return SUCCESS;
}

int nvmlDeviceGetTemperatureV(Device *device, Temperature *temperature) {
    ANSWER_ERROR(device->board);
    WHOLE_BOARD_ONLY(device);
    temperature->celsius = (int)VALUE(device->board, 65);
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *processes) {
    ANSWER_ERROR(device->board);
    unsigned room = *count;
    const char *pid = words("FAKE_NVML_PIDS", NULL);
    for (*count = 0; pid; pid = strchr(pid, ',') ? strchr(pid, ',') + 1 : NULL) {
        if (*count < room) processes[*count] = (Process){(unsigned)atoi(pid), GIB, 0, 0};
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

/* Clock types of nvml.h: 0 graphics, 1 SM, 2 memory, 3 video. A chosen value is that of the SM. */
int nvmlDeviceGetClockInfo(Device *device, unsigned type, unsigned *mhz) {
    static const unsigned usual[] = {1755, 1755, 2619, 1500};
    ANSWER_ERROR(device->board);
    WHOLE_BOARD_ONLY(device);
    if (type >= sizeof usual / sizeof *usual) return INVALID_ARGUMENT;
    *mhz = type == 1 ? (unsigned)VALUE(device->board, usual[1]) : usual[type];
    return SUCCESS;
}

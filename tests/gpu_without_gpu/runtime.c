// A CUDA runtime that says that one H200 is there and computes nothing: loaded before the real one.
#include <stdlib.h>
#include <string.h>

#include "driver_types.h"

#define MEMORY 151000000000ull
#define DONE(name) \
  int name() { return 0; }

static char handles[4096];
static int used = 0;
static int new_handle(void **handle) {
  *handle = &handles[(used += 16) % 4000];
  return 0;
}
static int new_memory(void **memory, size_t size) {
  *memory = calloc(1, size);
  return 0;
}

int cudaGetDeviceCount(int *count) { return *count = 1, 0; }
int cudaGetDevice(int *device) { return *device = 0, 0; }
int cudaDriverGetVersion(int *version) { return *version = 13010, 0; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, 0; }
int cudaGetDeviceProperties(struct cudaDeviceProp *device, int number) {
  memset(device, 0, sizeof *device);
  strcpy(device->name, "NVIDIA H200");
  device->major = 9;
  device->multiProcessorCount = 132;
  device->totalGlobalMem = MEMORY;
  device->warpSize = 32;
  device->maxThreadsPerBlock = 1024;
  device->maxThreadsPerMultiProcessor = 2048;
  device->regsPerBlock = device->regsPerMultiprocessor = 65536;
  device->sharedMemPerBlock = 49152;
  device->sharedMemPerBlockOptin = 232448;
  device->sharedMemPerMultiprocessor = 233472;
  device->l2CacheSize = 62914560;
  device->maxThreadsDim[0] = device->maxThreadsDim[1] = 1024;
  device->maxThreadsDim[2] = 64;
  device->maxGridSize[0] = 2147483647;
  device->maxGridSize[1] = device->maxGridSize[2] = 65535;
  return 0;
}
int cudaDeviceCanAccessPeer(int *can, int one, int other) { return *can = 0, 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return 0;
}
int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) { return new_handle(stream); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return new_handle(stream); }
int cudaEventCreate(void **event) { return new_handle(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return new_handle(event); }
int cudaStreamIsCapturing(void *stream, int *status) { return *status = 0, 0; }
int cudaStreamGetCaptureInfo(void *stream, int *status, void *id) { return *status = 0, 0; }
int cudaMemGetInfo(size_t *available, size_t *total) { return *available = *total = MEMORY, 0; }
int cudaMalloc(void **memory, size_t size) { return new_memory(memory, size); }
int cudaHostAlloc(void **memory, size_t size, unsigned flags) { return new_memory(memory, size); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  memcpy(to, from, size);
  return 0;
}
int cudaMemsetAsync(void *memory, int value, size_t size, void *stream) {
  memset(memory, value, size);
  return 0;
}
DONE(cudaSetDevice)
DONE(cudaFree)
DONE(cudaFreeHost)
DONE(cudaThreadExchangeStreamCaptureMode)
DONE(cudaDeviceSynchronize)
DONE(cudaEventDestroy)
DONE(cudaEventQuery)
DONE(cudaEventRecord)
DONE(cudaEventRecordWithFlags)
DONE(cudaEventSynchronize)
DONE(cudaFuncSetAttribute)
DONE(cudaGetLastError)
DONE(cudaPeekAtLastError)
DONE(cudaLaunchKernel)
DONE(cudaLaunchKernelExC)
DONE(cudaStreamDestroy)
DONE(cudaStreamQuery)
DONE(cudaStreamSynchronize)
DONE(cudaStreamWaitEvent)

// c10::cuda::hasPrimaryContext(signed char)
_Bool _ZN3c104cuda17hasPrimaryContextEa(signed char device) { return device == 0; }

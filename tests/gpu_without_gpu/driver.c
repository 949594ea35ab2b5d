// A CUDA driver (libcuda.so.1) for one device of compute capability 9.0 that does nothing.
#define DONE(name) \
  int name() { return 0; }

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { return *flags = 0, *active = 1, 0; }
int cuDriverGetVersion(int *version) { return *version = 13010, 0; }
int cuGetErrorString(int error, const char **text) { return *text = "none", 0; }
int cuDeviceGetAttribute(int *value, int attribute) {
  switch (attribute) {
    case 8: return *value = 49152, 0;    // shared memory per block
    case 10: return *value = 32, 0;      // warp size
    case 12: return *value = 65536, 0;   // registers per block
    case 16: return *value = 132, 0;     // multiprocessors
    case 75: return *value = 9, 0;       // compute capability, major
    case 76: return *value = 0, 0;       // compute capability, minor
    case 82: return *value = 65536, 0;   // registers per multiprocessor
    case 97: return *value = 232448, 0;  // shared memory per block on request
    default: return *value = 1, 0;
  }
}
DONE(cuInit)
DONE(cuCtxGetCurrent)
DONE(cuCtxGetLimit)
DONE(cuCtxSetCurrent)
DONE(cuCtxSetLimit)
DONE(cuDeviceGet)
DONE(cuDevicePrimaryCtxRetain)
DONE(cuFuncGetAttribute)
DONE(cuFuncSetAttribute)
DONE(cuFuncSetCacheConfig)
DONE(cuModuleGetFunction)
DONE(cuModuleLoadData)
DONE(cuPointerGetAttribute)

/**
 * What belongs to a driver of GPUs and has to be of the same version as the kernel's part of it: names of libraries (any version of them) and programs. For workers
 * without Apptainer, which brings such lists.
 * @see https://github.com/apptainer/apptainer/tree/main/etc (nvliblist.conf, rocmliblist.conf)
 */
export const GPU_DRIVER_FILES = {
  nvidia: [
    ...['nvidia-smi', 'nvidia-debugdump', 'nvidia-persistenced', 'nvidia-cuda-mps-control', 'nvidia-cuda-mps-server'],
    ...['libcuda.so', 'libcudadebugger.so', 'libnvcuvid.so', 'libnvoptix.so', 'libOpenCL.so', 'libOpenGL.so'],
    ...['libEGL.so', 'libEGL_nvidia.so', 'libGL.so', 'libGLX.so', 'libGLX_nvidia.so', 'libGLdispatch.so'],
    ...['libGLESv1_CM.so', 'libGLESv1_CM_nvidia.so', 'libGLESv2.so', 'libGLESv2_nvidia.so', 'libvdpau_nvidia.so'],
    ...[
      ...[
        'allocator',
        'api',
        'cbl',
        'cfg',
        'compiler',
        'egl-gbm',
        'egl-wayland',
        'eglcore',
        'encode',
        'fatbinaryloader',
      ],
      ...['fbc', 'glcore', 'glsi', 'glvkspirv', 'gpucomp', 'ifr', 'ml', 'ngx', 'nscq', 'nvvm', 'opencl', 'opticalflow'],
      ...['pkcs11', 'ptxjitcompiler', 'rtcore', 'tls'],
    ].map((name) => `libnvidia-${name}.so`),
  ],
  rocm: [
    ...['rocm-smi', 'rocminfo', 'libCXLActivityLogger.so', 'libhc_am.so', 'libmcwamp.so', 'libmcwamp_cpu.so'],
    ...['libmcwamp_hsa.so', 'libdrm.so', 'libdrm_amdgpu.so', 'libnuma.so', 'libpci.so', 'librocr_debug_agent64.so'],
    ...['libamdcomgr64.so', 'libamdocl64.so', 'libcltrace.so', 'libOpenCL.so'],
  ],
} as const;

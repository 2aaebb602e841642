"""Optional kernels in C for the work between and inside the matrix products of a CPU.

PyTorch's operations go through memory once for each step; a kernel here goes once for all of them.
The C files of this folder use neither Python nor PyTorch: they take addresses and sizes. `build`
compiles them when the package is installed, and `library` loads the result. A Python module beside
them checks the arguments of a kernel and calls it. Nothing here is required: without a compiler, or
on a CPU without the instructions, engines compute the same with PyTorch's operations and report it.
"""

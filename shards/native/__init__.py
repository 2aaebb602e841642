"""Kernels of our own, in C, for what lies between the matrix products on a CPU. Optional.

PyTorch's operations go through memory once for each step; a kernel here goes once for all of them. The
C files beside this one know nothing of Python or PyTorch: they take addresses and sizes. `build`
compiles them when the package is installed, `library` loads the result, and one module of Python a
kernel checks what it is given and calls it. Nothing here is needed: where there is no compiler, or the
CPU lacks the instructions, engines compute the same with PyTorch's operations, and say so.
"""

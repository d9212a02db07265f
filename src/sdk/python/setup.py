# SPDX-License-Identifier: MIT
"""Builds the package; what is generated goes to the checkout's build/python. libreqmeter is compiled into the extension."""
import glob
import os

from setuptools import Extension, setup

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
OUT = os.path.join(CHECKOUT, "build", "python")
os.makedirs(OUT, exist_ok=True)
# Relative: setuptools wants to know of no file outside by an absolute name.
os.chdir(HERE)


def sources(*directory):
    """The C files of a directory."""
    return sorted(glob.glob(os.path.join(*directory, "*.c")))


setup(
    packages=["reqmeter"],
    package_dir={"reqmeter": "reqmeter"},
    options={"build": {"build_base": OUT}, "egg_info": {"egg_base": OUT}},
    ext_modules=[
        Extension(
            "reqmeter._native",
            sources=sources("native") + sources(CHECKOUT, "src", "sdk"),
            depends=glob.glob("native/*.h") + glob.glob(os.path.join(CHECKOUT, "include", "reqmeter", "*.h")),
            include_dirs=[os.path.join(CHECKOUT, "include"), os.path.join(CHECKOUT, "src")],
            extra_compile_args=["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-cast-function-type"],
            # Where there is no compiler the package works without it and says so: reqmeter.native is False.
            optional=os.environ.get("REQMETER_NATIVE") != "1",
        )
    ],
)

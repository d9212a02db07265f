# SPDX-License-Identifier: MIT
"""Builds the package; what is generated goes to the checkout's build/python. libreqmeter is compiled into the extension."""
import glob
import os

from setuptools import Extension, setup

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
OUT = os.path.join(CHECKOUT, "build", "python")
os.makedirs(OUT, exist_ok=True)
# setuptools takes no absolute names.
os.chdir(HERE)


setup(
    packages=["reqmeter"],
    package_dir={"reqmeter": "reqmeter"},
    options={"build": {"build_base": OUT}, "egg_info": {"egg_base": OUT}},
    ext_modules=[
        Extension(
            "reqmeter._native",
            sources=sorted(glob.glob("native/*.c") + glob.glob("../*.c")),
            depends=glob.glob("native/*.h") + glob.glob("../*.h") + glob.glob("../../../include/reqmeter/*.h"),
            include_dirs=[os.path.join(CHECKOUT, "include"), os.path.join(CHECKOUT, "src")],
            extra_compile_args=["-std=gnu11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-ftls-model=initial-exec", "-Wall", "-Wextra", "-Wno-cast-function-type"],
            # Where there is no compiler the package works without it and says so: reqmeter.native is False.
            optional=os.environ.get("REQMETER_NATIVE") != "1",
        )
    ],
)

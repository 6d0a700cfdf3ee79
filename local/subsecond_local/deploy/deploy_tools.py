"""What `make deploy-local` needs beside the project: the functions' Python, AWS's SAM, ministack under that Python."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree, which

from subsecond_local.errors import LocalError
from subsecond_local.run.children import tail

VERSION = "3.13"
SAM = ("aws-sam-cli==1.170.0",)
# ministack runs functions with its own interpreter, so it gets theirs. The translator expands the template for it.
EMULATOR = ("ministack==1.5.33", "aws-sam-translator==1.115.0")
MACHINES = {"x86_64": 62, "arm64": 183}  # e_machine in an ELF header
# Bytes that the layer may unpack to. Lambda allows 250 MB with the function's own code.
LAYER_LIMIT = 120 * 10**6


def architecture() -> str:
    """The architecture of this machine, as Lambda names it."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def runtime_python(environ: Mapping[str, str]) -> Path | None:
    """A Python of the functions' version that starts. Version managers put shims on the path that start nothing."""
    found = [which(f"python{VERSION}")]
    managed = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found += [str(path) for path in sorted(managed.glob(f"versions/{VERSION}*/bin/python{VERSION}"))]
    script = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.base_prefix)"
    for candidate in filter(None, found):
        ran = subprocess.run([candidate, "-I", "-c", script], capture_output=True, text=True, check=False)
        version, _, prefix = ran.stdout.strip().partition(" ")
        base = Path(prefix) / "bin" / f"python{VERSION}"
        if ran.returncode == 0 and version == VERSION and base.is_file():
            return base
    return None


def environment_of(folder: Path, python: Path, packages: Sequence[str]) -> Path:
    """The `bin` of a virtual environment with these packages, made anew where it is missing or has others."""
    stamp = folder / ".packages"
    # The folder is part of the stamp: the scripts in it contain its path.
    wanted = "\n".join([str(folder), str(python), *packages])
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"Making {folder} ({packages[0]}) ...", flush=True)
        rmtree(folder, ignore_errors=True)
        run([str(python), "-m", "venv", str(folder)])
        run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--quiet", *packages])
        stamp.write_text(wanted)
    return folder / "bin"


def run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, check=False)
    if ran.returncode:
        raise LocalError(f"{' '.join(command)} failed with exit code {ran.returncode}.")


@dataclass(frozen=True, slots=True)
class Sam:
    """The `sam` command in the project's folder. `environ`: which AWS it speaks to."""

    executable: Path
    project: Path
    log: Path
    environ: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str) -> None:
        """LocalError with the end of its output when it fails."""
        with self.log.open("wb") as output:
            ran = subprocess.run(
                [str(self.executable), *arguments],
                cwd=self.project,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ran.returncode:
            raise LocalError(f"sam {arguments[0]} failed with exit code {ran.returncode}:\n{tail(self.log)}")


def sam_environ(environ: Mapping[str, str], pythons: Path, aws: Mapping[str, str]) -> dict[str, str]:
    """`pythons` comes first on the path, where SAM and the layer's makefile look for the functions' Python."""
    path = os.pathsep.join([str(pythons), environ.get("PATH", os.defpath)])
    kept = {name: value for name, value in environ.items() if not name.startswith(("AWS_", "SAM_"))}
    return {**kept, **aws, "PATH": path, "SAM_CLI_TELEMETRY": "0"}


def check_layer(layer: Path, machine: str, limit: int = LAYER_LIMIT) -> int:
    """The bytes that it unpacks to. LocalError when that is too much, or a part of it is not for this machine."""
    files = [path for path in layer.rglob("*") if path.is_file()]
    for path, found in elf_machines(files):
        if found != MACHINES[machine]:
            raise LocalError(f"{path} in the layer is built for another machine than {machine}.")
    for path in files:
        # The header: magic, then flags. 1 is a hash that is never compared.
        if path.suffix == ".pyc" and int.from_bytes(path.read_bytes()[4:8], "little") != 1:
            raise LocalError(f"{path} in the layer is bytecode that Python would compare with its source.")
    if not any(path.suffix == ".pyc" for path in files):
        raise LocalError("The layer has no bytecode: every cold start would compile it.")
    size = sum(path.stat().st_size for path in files)
    if size > limit:
        raise LocalError(f"The layer unpacks to {size / 10**6:.0f} MB; {limit // 10**6} MB are the limit.")
    return size


def digest(layer: Path) -> str:
    """SHA-256 of all that an archive of this folder would hold: names, modes, times and bytes. Two builds of one
    commit have the same."""
    found = hashlib.sha256()
    for path in sorted(layer.rglob("*")):
        state = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        said = f"{path.relative_to(layer).as_posix()} {state.st_mode:o} {int(state.st_mtime)} {len(content)}\n"
        found.update(said.encode() + content)
    return found.hexdigest()


def elf_machines(files: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    for path in files:
        with path.open("rb") as file:
            head = file.read(20)
        if head.startswith(b"\x7fELF"):
            yield path, int.from_bytes(head[18:20], "little")


def project_python() -> Path:
    return Path(sys.executable)

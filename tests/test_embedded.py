"""The embedded model really runs here: weights, server, determinism, and who may reach it."""

import asyncio
import signal
import subprocess
import sys

import httpx
import pytest

from rai_kit import embedded
from rai_kit.engine import in_own_loop
from rai_kit.models import ChatModel
from rai_kit.pool import bounded
from rai_kit.schema import InputError, Message

QUESTIONS = [
    f"Write one sentence about {thing}." for thing in ("rain", "bread", "Rome", "bees", "salt", "music", "chess", "snow")
]


def answers(concurrency, questions, temperature):
    """Two replies to each question, the second to a follow-up in the same conversation; the seed goes with the question."""
    model = ChatModel("smollm2-135m@embedded", max_tokens=16, temperature=temperature)

    async def all_of_them():
        found = {}

        async def one(index):
            said = [Message("user", questions[index])]
            seed = QUESTIONS.index(questions[index])
            first = (await model(said, seed=seed)).text
            said += [Message("assistant", first), Message("user", "Go on, in other words. " * 12)]
            found[index] = questions[index], first, (await model(said, seed=seed)).text

        try:
            await bounded(len(questions), one, concurrency)
            return [found[index] for index in range(len(questions))]
        finally:
            await model.close()

    return in_own_loop(all_of_them())


def test_weights_are_requantised_once_and_whole():
    path = embedded.weights("smollm2-135m")
    before = path.stat().st_mtime_ns
    assert embedded.weights("smollm2-135m") == path
    assert path.stat().st_mtime_ns == before
    assert not list(path.parent.glob("*.partial"))
    assert len(embedded.fingerprint(path)) == 16


def test_requantising_keeps_metadata_and_values():
    import gguf
    import numpy as np
    from gguf.quants import dequantize

    from rai_kit.data import wheel_file

    source = gguf.GGUFReader(wheel_file(*embedded.BUILT_IN["smollm2-135m"]))
    copy = gguf.GGUFReader(embedded.weights("smollm2-135m"))
    ours = {tensor.name: tensor for tensor in copy.tensors}
    assert set(ours) == {tensor.name for tensor in source.tensors}
    for tensor in source.tensors[:12]:
        first, second = (dequantize(t.data, t.tensor_type) for t in (tensor, ours[tensor.name]))
        assert np.abs(first - second).max() <= np.abs(first).max() / 127
    for key, value in source.fields.items():
        if not key.startswith("GGUF.") and key != "general.file_type":
            assert copy.fields[key].contents() == value.contents(), key


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_replies_depend_on_the_seed_and_on_nothing_else(temperature):
    # In a crowd, alone with every prefix cached, and in another order with other neighbours in the batch.
    asked = QUESTIONS if temperature else QUESTIONS[:4]
    crowd = answers(8, asked * 2, temperature)
    assert sorted(set(crowd)) == sorted(crowd[: len(asked)]), "the same question twice gets the same replies"
    assert answers(1, asked[:2], temperature) == crowd[:2]
    assert sorted(answers(5, asked[::-1], temperature)) == sorted(crowd[: len(asked)])
    assert all(len(first) > 10 and len(second) > 10 for _, first, second in crowd)


def test_another_seed_is_another_reply():
    model = ChatModel("smollm2-135m@embedded", max_tokens=16, temperature=0.7)

    async def ask():
        try:
            return [(await model([Message("user", QUESTIONS[0])], seed=seed)).text for seed in range(3)]
        finally:
            await model.close()

    assert len(set(asyncio.run(ask()))) == 3


def test_only_a_program_with_the_key_reaches_the_server():
    server = embedded.serve(embedded.weights("smollm2-135m"))
    assert server.base_url.startswith("http://127.0.0.1:")
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    page = {"Origin": "http://page.example"}
    for key in ("x", "none", server.api_key[:-1]):
        headers = page | {"Authorization": f"Bearer {key}"}
        assert httpx.post(f"{server.base_url}/chat/completions", json=body, headers=headers).status_code == 401
        assert httpx.get(f"{server.base_url}/models", headers=headers).status_code == 401
    right = page | {"Authorization": f"Bearer {server.api_key}"}
    reply = httpx.post(f"{server.base_url}/chat/completions", json=body, headers=right)
    assert reply.status_code == 200
    preflight = httpx.options(f"{server.base_url}/chat/completions", headers=page | {"Access-Control-Request-Method": "POST"})
    for response in (reply, preflight):
        assert response.headers.get("access-control-allow-origin") not in ("*", "http://page.example", "null")
        assert response.headers.get("access-control-allow-credentials") != "true"


def test_the_key_is_random_and_not_in_the_repr():
    server = embedded.serve(embedded.weights("smollm2-135m"))
    assert len(server.api_key) >= 24
    assert server.api_key not in repr(server)


def test_a_conversation_beyond_the_context_is_a_cause_of_its_own():
    model = ChatModel("smollm2-135m@embedded", max_tokens=4)

    async def ask():
        try:
            return await model([Message("user", "word " * (embedded.CONTEXT + 500))], seed=0)
        finally:
            await model.close()

    assert asyncio.run(ask()).cause == "context_exceeded"


def test_a_file_that_is_no_gguf_is_named(tmp_path):
    path = tmp_path / "w.gguf"
    path.write_bytes(b"GGUX" + b"\0" * 100)
    with pytest.raises(InputError, match=r"w\.gguf is no GGUF file"):
        embedded.serve(path)
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(InputError, match=r"w\.gguf cannot be served"):
        embedded.serve(path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_serve_answers_any_client_and_ends_with_its_program(how, unused_port):
    command = [sys.executable, "-m", "rai_kit", "serve", "--port", str(unused_port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline().strip() for _ in range(2)]
        url, key = (line.split("=", 1)[1] for line in lines)
        assert url == f"http://127.0.0.1:{unused_port}/v1"
        models = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {key}"})
        assert models.status_code == 200
    finally:
        process.send_signal(how)
        _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")

import asyncio

import pytest
from conftest import completion

from rai_kit.journal import Journal
from rai_kit.models import ChatModel, parse_address
from rai_kit.schema import InputError, Message

ASK = [Message("user", "Hi")]


def ask(model, messages=ASK, **settings):
    async def once():
        try:
            return await model(messages, **({"seed": 1} | settings))
        finally:
            await model.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("text", "name", "where"),
    [
        ("gpt-4o", "gpt-4o", None),
        ("phi-3-mini@http://localhost:8000/v1/", "phi-3-mini", "http://localhost:8000/v1"),
        ("org/model:tag@https://host/v1", "org/model:tag", "https://host/v1"),
        ("smollm2-135m@embedded", "smollm2-135m", "embedded"),
        ("a/b@c.gguf@embedded", "a/b@c.gguf", "embedded"),
    ],
)
def test_addresses(text, name, where):
    address = parse_address(text)
    assert (address.name, address.where) == (name, where)


@pytest.mark.parametrize("text", ["", "@embedded", "m@", "m@nowhere", "m@ftp://host", "m@http://"])
def test_a_wrong_address_is_named_with_what_is_allowed(text):
    with pytest.raises(InputError, match="is no model address; give"):
        parse_address(text)


def test_a_key_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(InputError) as error:
        parse_address("m@https://user:sesame@host/v1")
    assert "sesame" not in str(error.value)


def test_a_reply_with_its_counts(endpoint):
    model = ChatModel(f"m@{endpoint.url}", temperature=0.3, max_tokens=11)
    reply = ask(model)
    assert (reply.text, reply.finish_reason, reply.cause) == ("Hello.", "stop", None)
    assert (reply.prompt_tokens, reply.completion_tokens) == (7, 3)
    sent = endpoint.requests[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["seed"]) == ("m", 0.3, 11, 1)
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]


def test_a_finished_call_is_never_made_again_but_another_seed_is(endpoint, tmp_path):
    for _ in range(2):
        journal = Journal(tmp_path / "j.sqlite")
        model = ChatModel(f"m@{endpoint.url}", journal=journal)
        assert ask(model, seed=1).text == ask(model, seed=2).text == "Hello."
        journal.close()
    assert len(endpoint.requests) == 2
    assert model.calls["made"] == 0
    assert model.calls["replayed"] == 2


@pytest.mark.parametrize("changed", [{"temperature": 0.1}, {"max_tokens": 5}])
def test_other_settings_are_other_calls(endpoint, tmp_path, changed):
    journal = Journal(tmp_path / "j.sqlite")
    ask(ChatModel(f"m@{endpoint.url}", journal=journal))
    ask(ChatModel(f"m@{endpoint.url}", journal=journal, **changed))
    ask(ChatModel(f"other@{endpoint.url}", journal=journal))
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (200, completion(""), "empty"),
        (200, completion("  \n"), "empty"),
        (200, completion(None), "empty"),
        (200, completion("partly", finish="content_filter"), "filtered"),
        (200, completion("x", choices=[]), "empty"),
        (400, {"error": {"code": "content_filter", "message": "blocked by policy"}}, "filtered"),
        (400, {"error": {"message": "the request exceeds the available context size"}}, "context_exceeded"),
        (400, {"error": {"message": "something else"}}, "error"),
    ],
)
def test_no_usable_reply_is_a_cause_and_is_not_replayed(endpoint, tmp_path, status, body, cause):
    endpoint.answer = lambda request: (status, body)
    journal = Journal(tmp_path / "j.sqlite")
    model = ChatModel(f"m@{endpoint.url}", journal=journal)
    assert ask(model).cause == cause
    assert ask(model).cause == cause
    assert len(endpoint.requests) == 2
    assert len(journal) == 0


def test_a_truncated_reply_keeps_its_finish_reason(endpoint):
    endpoint.answer = lambda request: (200, completion("and then", finish="length"))
    assert ask(ChatModel(f"m@{endpoint.url}")).finish_reason == "length"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_retried(endpoint, status):
    fault = {"error": {"message": "later"}}
    endpoint.answer = lambda request: (status, fault) if len(endpoint.requests) < 3 else (200, completion("Hello."))
    assert ask(ChatModel(f"m@{endpoint.url}")).text == "Hello."
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refused the key.*RAI_KIT_API_KEY"), (403, "refused the key"), (404, "knows no such model")]
)
def test_permanent_errors_stop_with_one_sentence(endpoint, status, words):
    endpoint.answer = lambda request: (status, {"error": {"message": "no"}})
    with pytest.raises(InputError, match=words):
        ask(ChatModel(f"m@{endpoint.url}"))
    assert len(endpoint.requests) == 1


def test_nobody_there_is_one_sentence(unused_port):
    with pytest.raises(InputError, match="nothing answers at http://127.0.0.1"):
        ask(ChatModel(f"m@http://127.0.0.1:{unused_port}/v1"))


@pytest.mark.parametrize(
    ("refused", "instead"),
    [("seed", None), ("temperature", None), ("max_tokens", "max_completion_tokens"), ("response_format", None)],
)
def test_a_refused_optional_parameter_is_left_out_from_then_on(endpoint, refused, instead):
    def answer(request):
        if refused in request:
            return 400, {"error": {"message": f"Unsupported parameter: '{refused}'"}}
        return 200, completion("Hello.")

    endpoint.answer = answer
    model = ChatModel(f"m@{endpoint.url}")
    schema = {"type": "object"}
    assert ask(model, json_schema=schema).text == ask(model, json_schema=schema, seed=2).text == "Hello."
    assert [refused in request for request in endpoint.requests] == [True, False, False]
    assert instead is None or instead in endpoint.requests[-1]


def test_all_missing_variables_are_named_at_once(monkeypatch):
    with pytest.raises(InputError, match="gpt-4o.*OPENAI_API_KEY"):
        ChatModel("gpt-4o")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://x.example")
    with pytest.raises(InputError, match="AZURE_OPENAI_API_KEY and OPENAI_API_VERSION"):
        ChatModel("gpt-4o")


def test_the_openai_key_goes_to_no_other_address(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    journal = Journal(tmp_path / "j.sqlite")
    model = ChatModel(f"m@{endpoint.url}", journal=journal)
    ask(model)
    monkeypatch.setenv("RAI_KIT_API_KEY", "own-planted")
    ask(ChatModel(f"m@{endpoint.url}", journal=journal), seed=2)
    journal.close()
    assert [header["authorization"] for header in endpoint.headers] == ["Bearer none", "Bearer own-planted"]
    assert "planted" not in repr(model)
    assert not any(b"planted" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("text", ["unknown@embedded", "missing.gguf@embedded"])
def test_unknown_embedded_weights_are_named(text):
    with pytest.raises(InputError, match="names neither a built-in model .*smollm2-135m"):
        ChatModel(text)


def test_what_an_endpoint_repeats_of_the_key_is_kept_nowhere(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("RAI_KIT_API_KEY", "own-planted-key")
    journal = Journal(tmp_path / "j.sqlite")
    model = ChatModel(f"m@{endpoint.url}", journal=journal)
    endpoint.answer = lambda request: (200, completion("You sent own-planted-key."))
    assert ask(model).text == "You sent [key]."
    endpoint.answer = lambda request: (400, {"error": {"message": "odd header own-planted-key"}})
    assert "[key]" in ask(model, seed=2).detail
    endpoint.answer = lambda request: (401, {"error": {"message": "bad key own-planted-key"}})
    with pytest.raises(InputError) as error:
        ask(model, seed=3)
    assert "planted" not in str(error.value)
    journal.close()
    assert not any(b"planted" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_proxy_of_the_environment_is_for_other_machines_only(endpoint, monkeypatch, unused_port):
    from rai_kit.models.endpoint import _proxy

    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(ChatModel(f"m@{endpoint.url}")).text == "Hello."
    assert [_proxy(f"http://{host}/v1") for host in ("localhost:1", "127.0.0.1", "[::1]:8")] == [None] * 3
    assert _proxy("https://api.example.org/v1") == f"http://127.0.0.1:{unused_port}"
    monkeypatch.setenv("no_proxy", "example.org")
    assert _proxy("https://api.example.org/v1") is None


def test_roles_at_one_server_share_its_pace(endpoint):
    async def work():
        models = [ChatModel(f"{name}@{endpoint.url}") for name in ("target", "judge", "target")]
        return [(await model._endpoint._line()).pace for model in models]

    first, second, third = asyncio.run(work())
    assert first is second is third


def test_an_endless_answer_is_cut_off(endpoint, monkeypatch):
    monkeypatch.setattr("rai_kit.models.endpoint.MOST_BYTES", 10_000)
    monkeypatch.setattr("rai_kit.models.endpoint.backoff", lambda attempt, random: 0.0)
    endpoint.answer = lambda request: (200, completion("word " * 10_000))
    reply = ask(ChatModel(f"m@{endpoint.url}"))
    assert reply.cause == "malformed"
    assert len(reply.detail) < 1000


def test_the_openai_client_says_where_and_how_its_calls_go(monkeypatch):
    async def line(name):
        model = ChatModel(name)
        found = await model._endpoint._line()
        await model.close()
        return found.url, found.headers

    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-key")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    url, headers = asyncio.run(line("gpt-4o"))
    assert url == "https://api.openai.com/v1/chat/completions"
    assert (headers["authorization"], headers["openai-organization"]) == ("Bearer sk-planted-key", "org-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert asyncio.run(line("gpt-4o"))[0] == "https://gateway.example/v1/chat/completions"
    monkeypatch.delenv("OPENAI_BASE_URL")
    for name, value in {"ENDPOINT": "https://x.example", "API_KEY": "azure-planted"}.items():
        monkeypatch.setenv(f"AZURE_OPENAI_{name}", value)
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    url, headers = asyncio.run(line("my-deployment"))
    assert url == "https://x.example/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == "azure-planted"


def test_an_openai_endpoint_is_called_through_its_configuration(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    assert ask(ChatModel("gpt-4o")).text == "Hello."
    assert endpoint.headers[0]["authorization"] == "Bearer sk-planted-key"
    assert endpoint.requests[0]["model"] == "gpt-4o"


def test_a_key_that_was_renewed_is_taken_up(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-old")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    model = ChatModel("gpt-4o")

    async def work():
        line = await model._endpoint._line()
        first = await model([Message("user", "Hi")], seed=1)
        endpoint.answer = lambda request: (
            (200, completion("Renewed."))
            if "new" in endpoint.headers[-1]["authorization"]
            else (401, {"error": {"message": "expired"}})
        )
        line._client.api_key = "sk-planted-new"  # as a token provider would
        second = await model([Message("user", "Hi")], seed=2)
        await model.close()
        return first.text, second.text

    assert asyncio.run(work()) == ("Hello.", "Renewed.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0), ({"retry-after": "soon"}, None), ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, 0), ({}, None),
    ],
)  # fmt: skip
def test_pauses_that_an_endpoint_asks_for(headers, seconds):
    from rai_kit.models.wire import retry_after

    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (429, {"error": {"code": "insufficient_quota", "message": "no money"}}, "quota of this key is used up"),
        (402, {"error": {"message": "pay"}}, "quota of this key is used up"),
        (400, {"error": {"message": "The model `m` does not exist"}}, "knows no such model"),
        (400, {"error": {"message": "Invalid model name passed in model=m"}}, "knows no such model"),
        (307, {}, "redirects to"),
    ],
)
def test_more_permanent_errors(endpoint, status, body, words):
    endpoint.answer = lambda request: (status, body)
    with pytest.raises(InputError, match=words):
        ask(ChatModel(f"m@{endpoint.url}"))
    assert len(endpoint.requests) == 1

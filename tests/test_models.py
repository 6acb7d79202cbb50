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

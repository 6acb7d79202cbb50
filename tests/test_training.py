"""Post-training on a tiny random Llama: what is taught, what is resumed, what is refused, and the way from folder to GGUF."""

import csv
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rai_kit.corpus import Filled, read_set, write_set
from rai_kit.measure import open_trained, post_train, post_training
from rai_kit.schema import Example, InputError, Message, RunStopped
from rai_kit.training import (
    EMBEDDED,
    Dpo,
    Lora,
    Recipe,
    Sft,
    average,
    base_folder,
    dpo,
    load_recipe,
    merge,
    perplexity,
    sft,
    to_gguf,
)
from rai_kit.training import rows as token_rows

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = [
    "how",
    "do",
    "i",
    "make",
    "bread",
    "a",
    "bomb",
    "please",
    "sorry",
    "cannot",
    "help",
    "with",
    "that",
    "here",
    "is",
    "the",
    "way",
    "first",
    "mix",
    "flour",
    "and",
    "water",
    "then",
    "bake",
    "it",
]
END = 2
RECIPE = Recipe(
    lora=Lora(rank=4, alpha=8),
    sft=Sft(learning_rate=0.02, epochs=3, batch=4, answer_tokens=8, own_tokens=3),
    dpo=Dpo(learning_rate=0.02, epochs=3, batch=4, answer_tokens=8),
    save_every=2,
)


def make_model(folder: Path) -> Path:
    import torch
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<unk>", "<|im_start|>", "<|im_end|>"]
    words = [*special, "user", "assistant", "system", *dict.fromkeys(WORDS)]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token=special[1], eos_token=special[2], pad_token=special[2]
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True, initializer_range=0.2,
        bos_token_id=1, eos_token_id=END, pad_token_id=END,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def examples(count: int = 16) -> list[Example]:
    """Prompts and answers of mixed lengths; every chosen answer begins alike and unlike the rejected one."""
    return [
        Example(
            id=str(number),
            source="test",
            licence="MIT",
            prompt=(Message("user", " ".join(WORDS[number % 7 : number % 7 + 2 + number % 5])),),
            chosen="sorry cannot help" + " with that" * (number % 4),
            rejected="here is the way first" + " mix flour" * (number % 3),
            chosen_by="in-house",
            imitate=True,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setenv("RAI_KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("rai_kit.training.stage.free_cores", lambda: 1)


@pytest.fixture(scope="module")
def tokenizer(base):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def tensors(stage):
    from safetensors.torch import load_file

    return load_file(stage.adapter / "adapter_model.safetensors")


def torch_close(one, other):
    import torch

    return torch.allclose(one, other, atol=1e-6)


def curve(stage):
    values = defaultdict(list)
    with stage.curve.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values[row["metric"]].append(float(row["value"]))
    return values


def test_a_whole_answer_teaches_its_end_and_a_cut_one_does_not(tokenizer):
    whole, long = replace(examples()[0], chosen="sorry cannot help"), replace(examples()[0], chosen="sorry cannot help with that")
    own = replace(whole, chosen_by="smollm2-135m@embedded")
    found = token_rows.tokenise("sft", [whole, long, own, replace(own, chosen="sorry cannot")], tokenizer, 4, 2, 128)
    assert [row.answers[0][-1] == END for row in found] == [True, False, False, True]
    assert [len(row.answers[0]) for row in found] == [4, 4, 2, 3]


def test_earlier_turns_are_part_of_the_prompt(tokenizer):
    turns = (Message("user", "please help"), Message("assistant", "sorry"), Message("user", "bake it"))
    row = token_rows.tokenise("sft", [replace(examples()[0], prompt=turns)], tokenizer, 8, 8, 128)[0]
    assert tokenizer.decode(row.prompt).count("<|im_start|>") == 4
    assert "sorry" in tokenizer.decode(row.prompt)


def test_loss_is_on_the_answer_only_and_equals_that_of_the_plain_model(base):
    import torch
    from transformers import AutoModelForCausalLM

    from rai_kit.training.trainers import IGNORED, answer_scores

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = torch.randint(3, 20, (9, 12), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([12, 5, 7, 12, 9, 6, 5, 8, 10])
    labels = torch.full_like(ids, IGNORED)
    for row, length in enumerate(lengths.tolist()):
        labels[row, length - 3 : length] = ids[row, length - 3 : length]
        ids[row, length:] = END
    scores = answer_scores(model, ids, labels, lengths)
    for row, length in enumerate(lengths.tolist()):
        logits = model(input_ids=ids[row : row + 1, :length]).logits[0].log_softmax(-1)
        wanted = torch.stack([logits[place - 1, ids[row, place]] for place in range(length - 3, length)])
        assert torch.allclose(scores[row, length - 4 : length - 1], wanted, atol=1e-5)
        assert scores[row].count_nonzero() == 3


@pytest.mark.parametrize(("size", "saved"), [(256, 35), (20, 1)])
def test_what_begins_alike_is_scored_as_if_alone(base, monkeypatch, size, saved):
    import torch
    from transformers import AutoModelForCausalLM

    from rai_kit.training.trainers import IGNORED, TREE, answer_scores

    monkeypatch.setitem(TREE, "cpu", size)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    mix = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, 20, (length,), generator=mix) for length in (4, 7, 5, 9, 6)]
    prompts[2] = torch.cat([prompts[0], prompts[2]])
    answers = [torch.randint(3, 20, (length,), generator=mix) for length in (3, 1, 4, 2, 5, 2, 3, 1, 4, 2)]
    whole = [torch.cat([prompts[row % 5], answer]) for row, answer in enumerate(answers)]
    lengths = torch.tensor([len(one) for one in whole])
    ids = torch.full((10, int(lengths.max())), END)
    labels = torch.full_like(ids, IGNORED)
    for row, one in enumerate(whole):
        ids[row, : len(one)] = one
        labels[row, len(prompts[row % 5]) : len(one)] = answers[row]
    seen = []
    model.base_model.register_forward_pre_hook(lambda *given: seen.append(given[2]["input_ids"].numel()), with_kwargs=True)
    scores = answer_scores(model, ids, labels, lengths)
    assert sum(seen) <= int(lengths.sum()) - saved, "prompts (35 tokens in all), were computed once"
    for row, one in enumerate(whole):
        alone = model(input_ids=one[None]).logits[0].log_softmax(-1)
        start = len(prompts[row % 5])
        wanted = torch.stack([alone[at - 1, one[at]] for at in range(start, len(one))])
        assert torch.allclose(scores[row, start - 1 : len(one) - 1], wanted, atol=1e-5)
        assert scores[row].count_nonzero() == len(answers[row])


def test_every_row_is_seen_once_an_epoch_in_another_order():
    order = token_rows.batches(203, 8, 2, 0)
    assert sorted(row for step in order for row in step) == sorted([*range(203), *range(203)])
    assert all(len(step) == 8 for step in order[:-1])
    assert {row for step in order[:25] for row in step} < set(range(203))
    assert order != token_rows.batches(203, 8, 2, 1)


def test_what_begins_alike_is_computed_once_and_nothing_is_padded():
    pair = token_rows.Row([1, 2, 3, 4], ([5, 6], [5, 7, 8]))
    other = token_rows.Row([1, 2, 9], ([5], [6]))
    assert token_rows.computed([pair, other], [[0, 1]], 99) == 4 + 4 + 3
    assert token_rows.computed([pair, other], [[0], [1]], 99) == 4 + 4 + 5
    assert token_rows.computed([pair, other], [[0, 1]], 0) == sum(pair.lengths + other.lengths)
    assert token_rows.computed([pair, other], [[0, 1]], 99, processes=2) == 4 + 4 + 5


def test_sft_learns_and_a_finished_folder_returns_at_once(base, tmp_path, monkeypatch, capfd):
    more = [*examples(), replace(examples()[0], imitate=False), replace(examples()[0], chosen=None)]
    stage = sft(more, base, tmp_path / "one", RECIPE)
    loss = curve(stage)["loss"]
    assert len(loss) == stage.steps == 12
    assert loss[-1] < loss[0] / 2
    assert stage.examples == 16
    assert stage.left_out == {"not to be imitated": 1, "no chosen answer": 1}
    assert 0 < stage.taught_tokens < stage.computed_tokens < stage.tokens
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["adapter", "curve.csv", "stage.json"]
    out, err = capfd.readouterr()
    assert "12 of 12 sft steps" in out
    assert err == ""
    with monkeypatch.context() as patch:
        patch.setattr("rai_kit.training.stage._train", lambda *_: pytest.fail("trained again"))
        assert sft(more, base, tmp_path / "one", replace(RECIPE, save_every=7)) == stage
    other = sft(more, base, tmp_path / "one", replace(RECIPE, seed=1))
    assert other.digest != stage.digest


@pytest.mark.parametrize(("train", "weight"), [(sft, 0.0), (dpo, 0.5)])
def test_a_training_that_was_cut_off_ends_with_the_same_bits(base, tmp_path, monkeypatch, train, weight):
    import torch

    recipe = replace(RECIPE, dpo=replace(RECIPE.dpo, sft_weight=weight))
    straight = train(examples(), base, tmp_path / "straight", recipe)
    said = 0

    def breaking(self, step, loss):
        nonlocal said
        said += 1
        if said == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rai_kit.training.trainers.Watch._say", breaking)
        with pytest.raises(KeyboardInterrupt):
            train(examples(), base, tmp_path / "resumed", recipe)
    work = tmp_path / "resumed" / "checkpoints"
    assert not (tmp_path / "resumed" / "stage.json").exists()
    cut = work / "checkpoint-7"
    cut.mkdir()
    (cut / "adapter_model.safetensors").write_bytes(b"half")
    resumed = train(examples(), base, tmp_path / "resumed", recipe)
    first, second = tensors(straight), tensors(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert curve(straight) == curve(resumed)
    assert not work.exists()


def test_dpo_prefers_what_was_chosen(base, tmp_path):
    stage = dpo([*examples(), replace(examples()[0], rejected=None)], base, tmp_path / "dpo", RECIPE)
    found = curve(stage)
    assert found["margin"][0] == pytest.approx(0, abs=1e-4)
    assert found["margin"][-1] > 0.1
    assert found["accuracy"][-1] == 1
    assert found["loss"][0] == pytest.approx(0.6931, abs=1e-3)
    assert stage.left_out == {"no rejected answer": 1}


def test_beside_the_comparison_only_answers_of_the_kit_are_imitated(base, tmp_path):
    def trained(name, author, weight):
        recipe = replace(RECIPE, dpo=replace(RECIPE.dpo, sft_weight=weight))
        pairs = [replace(one, chosen_by=author) for one in examples()]
        return dpo(pairs, base, tmp_path / name, recipe)

    plain, same = (tensors(trained(f"target-{weight}", "target", weight)) for weight in (0.0, 3.0))
    assert all((plain[name] == same[name]).all() for name in plain)
    loss = {weight: curve(trained(f"kit-{weight}", "in-house", weight))["loss"] for weight in (0.0, 3.0)}
    likelihood = [with_it - weighed_down for with_it, weighed_down in zip(loss[3.0], loss[0.0], strict=True)]
    assert likelihood[0] > 1
    assert likelihood[-1] < likelihood[0] / 2


def test_adapters_stand_only_in_the_later_layers(base, tmp_path):
    stage = sft(examples(), base, tmp_path / "late", replace(RECIPE, lora=Lora(rank=2, from_layer=1)))
    assert {name.split("layers.")[1][0] for name in tensors(stage)} == {"1"}
    assert len(tensors(stage)) == 7 * 2
    with pytest.raises(InputError, match="from_layer is 2; the model has layers 0 to 1"):
        sft(examples(), base, tmp_path / "none", replace(RECIPE, lora=Lora(from_layer=2)))


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_there_was(base, tmp_path, monkeypatch):
    from rai_kit.training import trainers

    plain, calls = trainers.answer_scores, 0

    def failing(*args):
        nonlocal calls
        calls += 1
        return plain(*args) * (float("nan") if calls > 5 else 1)

    monkeypatch.setattr(trainers, "answer_scores", failing)
    with pytest.raises(RunStopped, match=r"sft: the loss is not a number at step 6 of 12 .*lower sft.learning_rate"):
        sft(examples(), base, tmp_path / "nan", RECIPE)
    assert (tmp_path / "nan" / "checkpoints" / "checkpoint-4" / trainers.MARK).exists()
    assert not (tmp_path / "nan" / "stage.json").exists()


def test_a_full_disk_is_an_os_error_and_leaves_nothing_that_looks_finished(base, tmp_path, monkeypatch):
    import errno

    from peft import PeftModel

    def full(*_, **__):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(PeftModel, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left") as caught:
        sft(examples(), base, tmp_path / "full", RECIPE)
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "full" / "stage.json").exists()
    assert not (tmp_path / "full" / "adapter").exists()


def test_what_cannot_be_trained_is_said(base, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="sft: 3 of 3 examples have a chosen answer that may be imitated, and one step takes 4"):
        sft(examples(3), base, tmp_path / "few", RECIPE)
    with pytest.raises(InputError, match="dpo: 0 of 5 examples"):
        dpo([replace(example, rejected=None) for example in examples(5)], base, tmp_path / "few", RECIPE)
    long = (Message("user", "bread " * 200),)
    with pytest.raises(InputError, match="only 0 examples fit"):
        sft([replace(example, prompt=long) for example in examples()], base, tmp_path / "long", RECIPE)
    with pytest.raises(InputError, match="'nowhere' is no model that can be trained: give smollm2-135m"):
        base_folder("nowhere")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="must be a multiple of 3"):
        sft(examples(), base, tmp_path / "odd", RECIPE)


def test_a_model_folder_that_lacks_something_is_named_with_all_that_it_lacks(tmp_path):
    folder = make_model(tmp_path / "model")
    assert base_folder(str(folder)) == folder
    (folder / "chat_template.jinja").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"lacks weights \(\*.safetensors\), a chat template \(chat_template.jinja\)"):
        base_folder(str(folder))


def test_without_a_chat_template_nothing_is_trained(tmp_path):
    folder = make_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="has no chat template"):
        sft(examples(), folder, tmp_path / "out", RECIPE)


def test_merged_weights_answer_as_the_adapter_does(base, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stage = sft(examples(), base, tmp_path / "sft", RECIPE)
    merged = merge(base, stage.adapter, tmp_path / "merged")
    assert base_folder(str(merged)) == merged
    assert AutoTokenizer.from_pretrained(merged).chat_template == TEMPLATE
    ids = torch.tensor([[1, 3, 7, 8, 9]])
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    whole = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    before = plain(input_ids=ids).logits
    assert torch.allclose(
        PeftModel.from_pretrained(plain, stage.adapter)(input_ids=ids).logits, whole(input_ids=ids).logits, atol=1e-4
    )
    assert not torch.allclose(before, whole(input_ids=ids).logits, atol=1e-2)
    with pytest.raises(InputError, match="holds no adapter"):
        merge(base, tmp_path, tmp_path / "no")
    # What was taught is likelier than before, what was not is not asked here.
    text = "<|im_start|>assistant sorry cannot help"
    first, second = perplexity(base, [text, "bread"]), perplexity(merged, [text, "bread"])
    assert second.nll[0] < first.nll[0]
    assert list(first.tokens) == [4, 0]
    assert first.nll.isna().tolist() == [False, True]


def test_averaged_weights_lie_between_those_before_and_after(base, tmp_path):
    from safetensors.torch import load_file

    stage = sft(examples(), base, tmp_path / "sft", RECIPE)
    merged = merge(base, stage.adapter, tmp_path / "merged")
    between = average(base, merged, 0.25, tmp_path / "between")
    assert base_folder(str(between)) == between
    before, after, found = (load_file(folder / "model.safetensors") for folder in (base, merged, between))
    changed = [name for name in before if not before[name].equal(after[name])]
    assert changed
    for name in before:
        assert torch_close(found[name], 0.75 * before[name] + 0.25 * after[name])
    exported = post_train(examples(), base=str(base), out=tmp_path / "out", recipe=replace(RECIPE, trained_share=0.5)).folder
    whole = post_train(examples(), base=str(base), out=tmp_path / "all", recipe=RECIPE).folder
    half, end = (load_file(folder / "model.safetensors") for folder in (exported, whole))
    assert all(torch_close(half[name], (before[name] + end[name]) / 2) for name in before)
    # Another round starts from what the first exported, and is averaged with the model before both.
    again: dict[str, Any] = {"base": str(exported), "earlier": [str(base)]}
    later = post_train(examples(), **again, out=tmp_path / "out-2", recipe=replace(RECIPE, trained_share=0.5)).folder
    whole = post_train(examples(), **again, out=tmp_path / "all-2", recipe=RECIPE).folder
    half, end = (load_file(folder / "model.safetensors") for folder in (later, whole))
    assert all(torch_close(half[name], (before[name] + end[name]) / 2) for name in before)


def test_perplexity_is_that_of_the_plain_model(base, tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    texts = ["bread and water", "first mix flour and water then bake it", "how do i"]
    for text, nll in zip(texts, perplexity(base, texts).nll, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        assert nll == pytest.approx(float(model(input_ids=ids, labels=ids).loss.detach()), abs=1e-5)


def write_gguf(folder: Path, path: Path) -> Path:
    """An independent writer of a small Llama: two-dimensional tensors in Q8_0, the rest as they are."""
    import gguf
    import numpy as np
    from gguf.quants import quantize
    from safetensors.numpy import load_file

    kind = gguf.GGMLQuantizationType
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_token_list(["a", "b"])
    for name, values in load_file(folder / "model.safetensors").items():
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2], 0)
        if heads:
            size = values.shape[0] // heads
            rows = [
                head * size + half * size // 2 + place for head in range(heads) for place in range(size // 2) for half in (0, 1)
            ]
            values = np.ascontiguousarray(values[rows])
        data = quantize(values, kind.Q8_0) if values.ndim > 1 else values
        writer.add_tensor(names.get_name(name, (".weight",)), data, raw_dtype=kind.Q8_0 if values.ndim > 1 else kind.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_unchanged_weights_become_the_same_file_and_trained_ones_another(base, tmp_path):
    like = write_gguf(base, tmp_path / "like.gguf")
    same = to_gguf(base, like, tmp_path / "same.gguf")
    assert same.read_bytes() == like.read_bytes()
    stage = sft(examples(), base, tmp_path / "sft", RECIPE)
    other = to_gguf(merge(base, stage.adapter, tmp_path / "merged"), like, tmp_path / "other.gguf")
    assert other.stat().st_size == like.stat().st_size
    assert other.read_bytes() != like.read_bytes()


def test_a_gguf_of_another_model_is_refused(base, tmp_path):
    import gguf
    import numpy as np

    for architecture, name, shape, words in (
        ("llama", "output_norm.weight", (48,), "has shape .32,. in .* and .48,. in"),
        ("llama", "blk.5.attn_norm.weight", (32,), "has no weights for 'blk.5.attn_norm.weight'"),
        ("llama", "output_norm.weight", (32,), "has no place for"),
        ("gpt2", "output_norm.weight", (32,), "architecture 'gpt2'; only 'llama'"),
    ):
        like = tmp_path / "like.gguf"
        writer = gguf.GGUFWriter(like, architecture)
        writer.add_head_count(4)
        writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(InputError, match=words):
            to_gguf(base, like, tmp_path / "out.gguf")
        assert not (tmp_path / "out.gguf").exists()


def test_two_processes_train_one_model(base, tmp_path):
    """The only slow one: the command in two fresh processes over gloo, as it is launched on GPUs."""
    data = write_set(tmp_path, "data", examples(), title="Pairs", about={}, form="preference").path
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "lora: {rank: 4, alpha: 8}\nsft: {learning_rate: 0.02, batch: 4, answer_tokens: 8, own_tokens: 3}\n"
        "dpo: {learning_rate: 0.02, epochs: 3, batch: 4, answer_tokens: 8}\nsave_every: 2\n",
        encoding="utf-8",
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "rai_kit", "train"]
    launch += ["--data", str(data), "--base", str(base), "--recipe", str(recipe), "--out", str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAI_KIT_HEADLESS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, timeout=180, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("dpo steps in") == 1
    assert done.stdout.count("for vLLM") == 1, "one process speaks for both"
    record = json.loads((tmp_path / "two" / "dpo" / "stage.json").read_text(encoding="utf-8"))
    assert (record["processes"], record["steps"]) == (2, 12)
    one = post_train(read_set(data), base=str(base), out=tmp_path / "one", recipe=load_recipe(recipe)).curve
    two = open_trained(tmp_path / "two").curve
    # The same batches, shared out: the same learning but for rounding.
    assert two[["stage", "step", "metric"]].equals(one[["stage", "step", "metric"]])
    # Before the first update both answers are as likely as the reference says: which is preferred is a matter of rounding.
    decided = (one["metric"] != "accuracy") | (one["step"] > 1)
    assert two["value"][decided].to_numpy() == pytest.approx(one["value"][decided].to_numpy(), abs=1e-3, rel=1e-2)


def test_what_is_declined_by_now_stays_a_pair_with_what_a_model_before_said(monkeypatch, tmp_path):
    first, second, third, fourth = (replace(one, kind="harmful", rejected=None) for one in examples(4))
    twin = replace(examples(5)[4], kind="lookalike", rejected="No.")
    says = {"round-1@embedded": {second.id: "before"}, "base@embedded": {second.id: "long before", third.id: "long before"}}
    stopped = []

    def mistakes(asked, target, **_):
        assert ([one.id for one in asked], target) == ([one.id for one in (first, second, third, fourth)], f"{tmp_path}@embedded")
        return Filled((replace(first, rejected="after"), second, third, fourth), {"harmful": {"kept": 1, "right": 3}})

    def answers(asked, target, **_):
        found = [replace(one, rejected=says[target].get(one.id)) for one in asked]
        return Filled(tuple(found), {"harmful": {"asked": len(asked)}})

    monkeypatch.setattr(post_training, "own_mistakes", mistakes)
    monkeypatch.setattr(post_training, "own_answers", answers)
    monkeypatch.setattr(post_training, "served_like", Path)
    monkeypatch.setattr(post_training.embedded, "stop", lambda path: stopped.append(str(path)))
    pairs, tally = post_training._contrasts([first, second, third, fourth, twin], tmp_path, list(says), {})
    assert {one.id: one.rejected for one in pairs} == {
        **{first.id: "after", second.id: "before", third.id: "long before"},
        twin.id: "No.",
    }
    assert tally == {
        "after SFT": {"kept": 1, "right": 3},
        "round-1@embedded": {"asked": 3},
        "base@embedded": {"asked": 2},
    }
    assert stopped == [str(tmp_path), *says], "no server stays beside the training"


def test_a_recipe_file_is_read_strictly(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("lora: {rank: 8}\nsft: {learning_rate: 0.001}\nseed: 3\n", encoding="utf-8")
    assert load_recipe(path) == Recipe(lora=Lora(rank=8), sft=Sft(learning_rate=0.001), seed=3)
    found = load_recipe(path, EMBEDDED)
    assert found.lora == replace(EMBEDDED.lora, rank=8), "what the file does not say stays"
    assert (found.dpo, found.trained_share, found.seed) == (EMBEDDED.dpo, EMBEDDED.trained_share, 3)
    (tmp_path / "recipe.json").write_text('{"dpo": {"beta": 0.2}}', encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.json").dpo.beta == 0.2
    for text, words in (
        ("lora: {rnk: 8}", "lora has no field rnk; allowed are rank, alpha, from_layer"),
        ("lr: 1", "the recipe has no field lr; allowed are lora, sft, dpo, trained_share, seed, save_every"),
        ("sft: {learning_rate: -1}", "sft.learning_rate is -1; allowed is a number from 0 to 1"),
        ("sft: {learning_rate: 5e-4}", "5.0e-4"),
        ("dpo: {batch: 2.5}", "dpo.batch is 2.5; allowed is a whole number from 1"),
        ("dpo: {beta: 0}", "dpo.beta is 0; allowed is a number above 0"),
        ("sft: [1]", r"sft is \[1\]; it must be a table"),
        ("seed: {", "neither YAML nor JSON"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            load_recipe(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


def test_importing_it_is_light():
    code = (
        "import sys, rai_kit.training; print([name for name in ('torch', 'transformers', 'trl', 'peft') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Weights between the two forms in which they live: a Hugging Face folder (to train, for vLLM) and GGUF (to serve in the kit).

Llama architectures only, where GGUF is read or written: others have other names and permutations. Left out on purpose: loading from a hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.cache import cache_dir, write_json, write_whole
from rai_kit.embedded import BUILT_IN, fingerprint, weights
from rai_kit.schema import InputError
from rai_kit.training.folders import write_folder

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

PARTS = {
    **{
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
    },
    **{"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"},
    **{"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"},
}
WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def base_folder(model: str) -> Path:
    """The Hugging Face folder that a model is trained from.

    Args:
        model: `smollm2-135m[@embedded]` (made once in the cache folder, from the very weights that are served), or an existing folder.

    Raises:
        InputError: Neither, or the folder lacks something; all that is missing is named.
    """
    name = model.removesuffix("@embedded")
    if name in BUILT_IN:
        source = weights(name)
        target = cache_dir() / "weights" / f"{source.stem}-{fingerprint(source)}-float32"
        if not target.exists():
            print(f"making a trainable copy of {name} in {target} (once, some 10 s)", flush=True)
            write_folder(target, lambda partial: _unpack(source, partial))
        return target
    folder = Path(model)
    if not folder.is_dir():
        raise InputError(
            f"'{model}' is no model that can be trained: give {', '.join(BUILT_IN)}, or a folder in Hugging Face's format "
            "(config.json, *.safetensors, tokenizer.json, chat_template.jinja)."
        )
    if missing := _missing(folder):
        raise InputError(
            f"the model folder {folder} lacks {', '.join(missing)}; add what is missing from where the model came from."
        )
    return folder


def _missing(folder: Path) -> list[str]:
    tokenizer = folder / "tokenizer_config.json"
    inline = "chat_template" in json.loads(tokenizer.read_text(encoding="utf-8")) if tokenizer.is_file() else False
    there = {
        "a configuration (config.json)": (folder / "config.json").is_file(),
        "weights (*.safetensors)": any(folder.glob("*.safetensors")),
        "a tokenizer (tokenizer.json)": any(
            (folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")
        ),
        "a chat template (chat_template.jinja)": inline or (folder / "chat_template.jinja").is_file(),
    }
    return [what for what, found in there.items() if not found]


def _name(tensor: str) -> str | None:
    """Hugging Face's name of a GGUF tensor of a Llama; None where it has none."""
    if tensor in WHOLE:
        return WHOLE[tensor]
    words = tensor.split(".")
    if len(words) == 4 and words[0] == "blk" and words[2] in PARTS:
        return f"model.layers.{words[1]}.{PARTS[words[2]]}.{words[3]}"
    return None


def _heads(tensor: str, about: dict[str, Any]) -> int:
    """Heads whose rows GGUF interleaves in this tensor; 0 where it does not."""
    part = tensor.split(".")[-2]
    heads = int(about["llama.attention.head_count"])
    return {"attn_q": heads, "attn_k": int(about.get("llama.attention.head_count_kv", heads))}.get(part, 0)


def _interleaved(rows: Array, heads: int) -> Array:
    """Halves of each head (as Hugging Face rotates them) -> neighbouring rows (as llama.cpp does)."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape) if heads else rows


def _halved(rows: Array, heads: int) -> Array:
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape) if heads else rows


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    """A GGUF file's reader and metadata, if it is a Llama."""
    import gguf

    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as GGUF ({error}); give a weights file that llama.cpp can read.") from None
    about = {key: field.contents() for key, field in reader.fields.items()}
    if about.get("general.architecture") != "llama":
        raise InputError(
            f"{path} is of architecture '{about.get('general.architecture')}'; only 'llama' can be written or read as GGUF here "
            "(serve the merged folder with vLLM instead)."
        )
    return reader, about


def _unpack(source: Path, folder: Path) -> None:
    import numpy as np
    from gguf.quants import dequantize
    from safetensors.numpy import save_file

    reader, about = _read(source)
    tensors = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        name = _name(tensor.name)
        assert name is not None, tensor.name
        tensors[name] = np.ascontiguousarray(_halved(values, _heads(tensor.name, about)), dtype=np.float32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    write_json(folder / "config.json", _config(about, tied="lm_head.weight" not in tensors))
    special = {name: about[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")}
    ids = {"bos_token_id": special["bos"], "eos_token_id": special["eos"], "pad_token_id": special["padding"]}
    write_json(folder / "generation_config.json", ids)
    _tokenizer(about).save(str(folder / "tokenizer.json"))
    words = about["tokenizer.ggml.tokens"]
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": words[special["bos"]],
            "eos_token": words[special["eos"]],
            "pad_token": words[special["padding"]],
            "clean_up_tokenization_spaces": False,
            "model_max_length": about["llama.context_length"],
        },
    )
    (folder / "chat_template.jinja").write_text(about["tokenizer.chat_template"], encoding="utf-8")


def _config(about: dict[str, Any], tied: bool) -> dict[str, Any]:
    heads = about["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": len(about["tokenizer.ggml.tokens"]),
        "hidden_size": about["llama.embedding_length"],
        "intermediate_size": about["llama.feed_forward_length"],
        "num_hidden_layers": about["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": about.get("llama.attention.head_count_kv", heads),
        "head_dim": about["llama.embedding_length"] // heads,
        "max_position_embeddings": about["llama.context_length"],
        "rms_norm_eps": about["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": about["llama.rope.freq_base"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "bos_token_id": about["tokenizer.ggml.bos_token_id"],
        "eos_token_id": about["tokenizer.ggml.eos_token_id"],
        "pad_token_id": about["tokenizer.ggml.padding_token_id"],
    }


def _tokenizer(about: dict[str, Any]) -> Any:
    """Byte-level BPE that cuts numbers into digits, as llama.cpp reads `tokenizer.ggml.pre = smollm`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    assert (about["tokenizer.ggml.model"], about["tokenizer.ggml.pre"]) == ("gpt2", "smollm")
    words = about["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in about["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    kinds = about["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens(
        [AddedToken(word, special=True, normalized=False) for word, kind in zip(words, kinds, strict=True) if kind == control]
    )
    return tokenizer


def merge(base: Path, adapter: Path, out: Path) -> Path:
    """Adds an adapter to the weights it was trained on: a folder that transformers and vLLM load, tokenizer and chat template included.

    The numbers are float32: half precision would move values across the borders of the later quantisation.

    Raises:
        InputError: The adapter is missing.
    """
    if not (adapter / "adapter_config.json").is_file():
        raise InputError(
            f"{adapter} holds no adapter (adapter_config.json is missing); give the folder 'adapter' of a finished stage."
        )
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rai_kit.training.quiet import quiet

    def write(partial: Path) -> None:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(partial)
            AutoTokenizer.from_pretrained(base).save_pretrained(partial)

    write_folder(out, write)
    return out


def average(before: Path, after: Path, share: float, out: Path) -> Path:
    """The weights that lie `share` of the way from those before a training (0) to those after it (1).

    What a training teaches grows about linearly on that way, what it makes a model forget grows slowly at first.

    Source: model averaging, Lin et al. 2024, arXiv 2309.06256.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rai_kit.training.quiet import quiet

    def write(partial: Path) -> None:
        with quiet(), torch.no_grad():
            old, new = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for folder in (before, after))
            for ours, theirs in zip(new.parameters(), old.parameters(), strict=True):
                ours.lerp_(theirs, 1 - share)
            new.save_pretrained(partial)
            AutoTokenizer.from_pretrained(after).save_pretrained(partial)

    write_folder(out, write)
    return out


def to_gguf(folder: Path, like: Path, out: Path) -> Path:
    """Writes a folder's weights as GGUF, with metadata, tensor order and number formats of another GGUF file of the same shape.

    Args:
        folder: Hugging Face folder, such as `merge` writes.
        like: The GGUF that the untrained model is served from; both arms are then served in one quantisation.
        out: File to write; it appears whole or not at all.

    Raises:
        InputError: `like` is no Llama, has a tensor that the folder lacks or has in another shape, or a format that cannot be written.
    """
    import gguf
    import numpy as np
    from gguf.quants import quantize

    reader, about = _read(like)
    tensors = _tensors(folder)
    wanted = {tensor.name: _name(tensor.name) for tensor in reader.tensors}
    tied = "model.embed_tokens.weight"
    head = tensors.get("lm_head.weight")
    if "output.weight" not in wanted and head is not None and not np.array_equal(head, tensors[tied]):
        raise InputError(
            f"{folder} has an output layer of its own and {like.name} has none; give the GGUF of the same base model."
        )

    def write(partial: Path) -> None:
        writer = gguf.GGUFWriter(partial, about["general.architecture"])
        for key, field in reader.fields.items():
            if not key.startswith("GGUF.") and key != "general.architecture":
                writer.add_key_value(key, about[key], field.types[0], field.types[-1] if len(field.types) > 1 else None)
        used = set()
        for tensor in reader.tensors:
            name = wanted[tensor.name]
            if name == "lm_head.weight" and name not in tensors:
                name = tied
            if name is None or name not in tensors:
                raise InputError(
                    f"{folder} has no weights for '{tensor.name}' of {like.name}; give the GGUF of the same base model."
                )
            used.add(name)
            shape = tuple(int(size) for size in reversed(tensor.shape))
            if tensors[name].shape != shape:
                raise InputError(
                    f"'{name}' has shape {tensors[name].shape} in {folder} and {shape} in {like.name}; "
                    "give the GGUF of the same base model."
                )
            values = np.ascontiguousarray(_interleaved(tensors[name], _heads(tensor.name, about)))
            try:
                data = quantize(values, tensor.tensor_type)
            except NotImplementedError:
                raise InputError(
                    f"{like.name} holds '{tensor.name}' as {tensor.tensor_type.name}, which cannot be written here; give one in Q8_0."
                ) from None
            writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
        if left := sorted(set(tensors) - used - {"lm_head.weight"}):
            raise InputError(f"{like.name} has no place for '{left[0]}' of {folder}; give the GGUF of the same base model.")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    write_whole(out, write)
    return out


def _tensors(folder: Path) -> dict[str, Array]:
    """A folder's weights as float32, by name."""
    import torch
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder} holds no weights (*.safetensors); give a folder that 'merge' wrote.")
    return {name: tensor.to(torch.float32).numpy() for file in files for name, tensor in load_file(file).items()}

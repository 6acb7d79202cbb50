"""What a training step of the kit costs beside bare trl's on the same batch of token ids, and how much of that is computed.

    python benchmarks/training_speed.py [MODEL_FOLDER] [STEPS]

Both train the same adapters on the same model, turn by turn, so that other work on the machine weighs on both alike.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from rai_kit.data.bank import passages
from rai_kit.schema import Example, Message
from rai_kit.training import Recipe, base_folder
from rai_kit.training import rows as token_rows


def examples(count: int) -> list[Example]:
    """Questions about passages, with answers of mixed lengths."""
    texts = [passage.text for passage in passages()]
    return [
        Example(
            id=str(number),
            source="benchmark",
            licence="MIT",
            prompt=(Message("user", "Go on: " + texts[number % len(texts)][: 40 + 61 * number % 300]),),
            chosen=texts[(number + 1) % len(texts)][: 80 + 97 * number % 500],
            rejected=texts[(number + 2) % len(texts)][: 80 + 53 * number % 500],
            chosen_by="in-house",
            imitate=True,
        )
        for number in range(count)
    ]


def trainer(stage, base, rows, order, bare, folder):
    """A trainer of the kit, or trl's own on the same rows and settings."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rai_kit.training import trainers

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain = trainers.score_answers_only
    if bare:
        trainers.score_answers_only = lambda model: None
    try:
        known = [[-50.0, -50.0]] * len(rows)
        return trainers.trainer(stage, model, AutoTokenizer.from_pretrained(base), rows, order, Recipe(), Path(folder), known)
    finally:
        trainers.score_answers_only = plain


def step(made, batch) -> float:
    began = time.perf_counter()
    loss = made.compute_loss(made.model, dict(batch))
    loss.backward()
    made.optimizer.step()
    made.optimizer.zero_grad()
    return time.perf_counter() - began


def main(base: Path, count: int) -> None:
    import torch
    from transformers import AutoTokenizer

    from rai_kit.cores import free_cores
    from rai_kit.training import trainers
    from rai_kit.training.quiet import quiet

    torch.set_num_threads(free_cores())
    recipe, tokenizer = Recipe(), AutoTokenizer.from_pretrained(base)
    print("| stage | kit, s | bare trl, s | ratio | tokens computed, of those in the batch |\n|---|---|---|---|---|")
    for stage, settings in (("sft", recipe.sft), ("dpo", recipe.dpo)):
        rows = token_rows.tokenise(stage, examples(settings.batch * 24), tokenizer, settings.answer_tokens, 32, 2048)
        order = token_rows.batches(len(rows), settings.batch, 1, 0)
        with quiet(), tempfile.TemporaryDirectory() as folder:
            both = [trainer(stage, base, rows, order, bare, folder) for bare in (False, True)]
            for made in both:
                made.model.train()
                made.create_optimizer()
            times: list[list[float]] = [[], []]
            for number, batch in zip(range(count + 1), both[0].get_train_dataloader(), strict=False):
                for which, made in enumerate(both):
                    seconds = step(made, batch)
                    if number:  # the first warms up
                        times[which].append(seconds)
        kit, bare = (statistics.median(values) for values in times)
        every = sum(sum(rows[row].lengths) for step in order for row in step)
        share = token_rows.computed(rows, order, trainers.TREE["cpu"]) / every
        print(f"| {stage} | {kit:.2f} | {bare:.2f} | {kit / bare:.2f} | {share:.3f} |", flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else base_folder("smollm2-135m"),
        int(sys.argv[2]) if len(sys.argv) > 2 else 8,
    )
